// Trains SentencePiece models: the capability "tokenizer.train/1" of the plugin.
#pragma once

#include <gamut/training.h>

namespace gamut::sentencepiece_plugin {

// The one of the process.
TokenizerTrainer& trainer();

}  // namespace gamut::sentencepiece_plugin
