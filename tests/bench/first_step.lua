-- From launch to the end of a first training step: model, loss, backward, fused AdamW.
local gamut = require "gamut"
local nn, optim = gamut.nn, gamut.optim

gamut.manual_seed(1)
local model = nn.SwiGLU(64, 128)
local adamw = optim.adamw{{params = model:named_parameters()}, lr = 1e-3}
model(gamut.randn({8, 64})):square():mean():backward()
adamw:step()
