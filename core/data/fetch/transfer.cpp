// libcurl's easy interface: an Attempt is one request, Transfer repeats it.
#include "data/fetch/transfer.h"

#include <curl/curl.h>
#include <gamut/error.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <stdexcept>
#include <thread>

#include "data/fetch/part_file.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

constexpr long kMaxRedirects = 10;
constexpr double kLongestWait = 60;

// The end of a request that another one may mend.
struct Broken : std::runtime_error {
  explicit Broken(const std::string& why, double seconds = 0)
      : std::runtime_error(why), wait(seconds) {}
  double wait;  // seconds that the server asks for
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

bool is_transient(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

bool is_transient(long status) {
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

const char* words_of(long status) {
  switch (status) {
    case 401:
    case 403:
      return " (not allowed)";
    case 404:
    case 410:
      return " (there is no such file)";
    case 429:
      return " (too many requests)";
    default:
      return "";
  }
}

// One request for the bytes that the part lacks.
class Attempt {
 public:
  Attempt(const std::string& url, PartFile& part, const TransferOptions& options)
      : url_(url), part_(part), options_(options), curl_(curl_easy_init()) {
    GAMUT_CHECK(curl_, "libcurl cannot be started");
  }
  ~Attempt() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(curl_);
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // Returns when the file is whole. Throws Broken, or gamut::Error where trying again is no use.
  void run() {
    asked_from_ = part_.bytes();
    set_options();
    const CURLcode code = curl_easy_perform(curl_);
    if (failure_) std::rethrow_exception(failure_);
    if (code == CURLE_ABORTED_BY_CALLBACK) throw_interrupted();
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) fail(code, status);
    judge(status);
  }

 private:
  void set_options() {
    const bool secure = lower(url_).rfind("https:", 0) == 0;
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, kMaxRedirects);
    set(CURLOPT_USERAGENT, "gamut");
    // Where the system keeps its certificates elsewhere than libcurl's build expects them.
    for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
      if (const char* file = std::getenv(name)) set(CURLOPT_CAINFO, file);
    }
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, 30L);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, std::max(1L, std::lround(options_.stall)));
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_HEADERFUNCTION, &Attempt::on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &Attempt::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Attempt::on_progress);
    set(CURLOPT_XFERINFODATA, this);
    if (asked_from_ > 0) {
      add_header(c10::str("Range: bytes=", asked_from_, "-"));
      if (!part_.validator().empty()) add_header("If-Range: " + part_.validator());
    }
    set(CURLOPT_HTTPHEADER, headers_);
  }

  template <class Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(curl_, option, value);
  }
  void add_header(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

  static size_t on_header(const char* data, size_t, size_t bytes, void* self) {
    auto& seen = static_cast<Attempt*>(self)->seen_;
    const std::string line(data, bytes);
    const auto colon = line.find(':');
    if (line.rfind("HTTP/", 0) == 0) seen.clear();  // of a redirect before
    if (colon != std::string::npos)
      seen[lower(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
    return bytes;
  }

  static size_t on_body(const char* data, size_t, size_t bytes, void* self) {
    auto& attempt = *static_cast<Attempt*>(self);
    try {
      long status = 0;
      curl_easy_getinfo(attempt.curl_, CURLINFO_RESPONSE_CODE, &status);
      if (status != 200 && status != 206) return bytes;  // a page that says what is wrong
      if (!attempt.begun_) attempt.begin(status);
      attempt.part_.append(data, bytes);
      return bytes;
    } catch (...) {
      attempt.failure_ = std::current_exception();
      return 0;
    }
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto& attempt = *static_cast<Attempt*>(self);
    const auto& options = attempt.options_;
    try {
      if (options.stop && options.stop()) return 1;
      if (options.progress) options.progress(attempt.part_.bytes(), attempt.part_.total());
      return 0;
    } catch (...) {  // not through libcurl
      attempt.failure_ = std::current_exception();
      return 1;
    }
  }

  // Before the first byte of the file: what the server is about to send.
  void begin(long status) {
    begun_ = true;
    int64_t total = -1;
    if (status == 206) {
      total = continued_total();
    } else {
      curl_off_t length = -1;
      curl_easy_getinfo(curl_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
      total = length;
      if (asked_from_ > 0 && options_.note) {
        options_.note(
            "the file is fetched from its beginning: it changed on the server, or the "
            "server does not continue files");
      }
      part_.restart(url_, validator(), total);
    }
    GAMUT_CHECK(total < 0 || options_.bytes < 0 || total == options_.bytes, url_, " has ", total,
                " bytes, and its publisher says ", options_.bytes,
                ": it is another file than the one that is wanted");
    if (total >= 0) {
      check_room(part_.path().parent_path(), total - part_.bytes(), "the rest of " + url_);
    }
  }

  // "bytes 100-199/200" -> 200. What the server sends must join on to what there is.
  int64_t continued_total() {
    long long first = -1, last = -1, total = -1;
    const std::string range = seen_["content-range"];
    const int read = std::sscanf(range.c_str(), "bytes %lld-%lld/%lld", &first, &last, &total);
    if (read < 2 || first != asked_from_) {
      part_.restart(url_, "", -1);
      throw Broken(c10::str("the server sent `", range, "` where byte ", asked_from_, " was due"));
    }
    return total;
  }

  // A weak ETag says nothing about bytes.
  std::string validator() {
    const std::string etag = seen_["etag"];
    return !etag.empty() && etag.rfind("W/", 0) != 0 ? etag : seen_["last-modified"];
  }

  [[noreturn]] void fail(CURLcode code, long status) {
    const std::string why = error_[0] ? error_ : curl_easy_strerror(code);
    if (code == CURLE_TOO_MANY_REDIRECTS) {
      throw Error(c10::str(url_, ": more than ", kMaxRedirects, " redirects"));
    }
    if (code == CURLE_UNSUPPORTED_PROTOCOL) {
      throw Error(c10::str(
          url_, ": only http and https are fetched, and what began as https not over http (", why,
          ")"));
    }
    if (is_transient(code) || is_transient(status)) throw Broken(why);
    throw Error(c10::str("cannot fetch ", url_, ": ", why));
  }

  // The request went through: what did it bring?
  void judge(long status) {
    if (status == 416 && part_.total() == part_.bytes()) return;  // all of it is there already
    if (status == 416) {
      part_.restart(url_, "", -1);
      throw Broken("what is there does not fit to the file of the server");
    }
    if (is_transient(status)) {
      curl_off_t wait = 0;
      curl_easy_getinfo(curl_, CURLINFO_RETRY_AFTER, &wait);
      throw Broken(c10::str("the server answers ", status, words_of(status)),
                   static_cast<double>(wait));
    }
    GAMUT_CHECK(status == 200 || status == 206, "cannot fetch ", url_, ": the server answers ",
                status, words_of(status));
    if (!begun_) begin(status);  // an empty file
    // A connection that closes says nothing about the length where the server did not name it.
    const int64_t due = part_.total() >= 0 ? part_.total() : options_.bytes;
    if (due >= 0 && part_.bytes() < due) {
      throw Broken(c10::str("the transfer ended at byte ", part_.bytes(), " of ", due));
    }
    GAMUT_CHECK(due < 0 || part_.bytes() == due, url_, " has more than the ", due,
                " bytes that its publisher says");
  }

  const std::string& url_;
  PartFile& part_;
  const TransferOptions& options_;
  CURL* curl_;
  curl_slist* headers_ = nullptr;
  std::map<std::string, std::string> seen_;  // headers of the answer
  std::exception_ptr failure_;
  int64_t asked_from_ = 0;
  bool begun_ = false;
  char error_[CURL_ERROR_SIZE] = "";
};

void sleep_unless_stopped(double seconds, const TransferOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    if (options.stop && options.stop()) throw_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

void throw_interrupted() {
  throw Error("interrupted; what is there is kept, and the same command goes on from it");
}

void check_room(const fs::path& folder, int64_t bytes, const std::string& what) {
  struct statvfs disk{};
  if (bytes <= 0 || statvfs(folder.c_str(), &disk) != 0) return;
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  GAMUT_CHECK(static_cast<double>(bytes) <= free, what, " takes ", bytes,
              " bytes, and the disk of ", folder.string(), " has ", static_cast<int64_t>(free),
              " left; free some space or name another folder");
}

Transferred transfer(const std::string& url, const fs::path& target,
                     const TransferOptions& options) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  GAMUT_CHECK(started == CURLE_OK, "libcurl cannot be started");
  PartFile part(target, options.digest);
  part.keep_only_of(url, options.pinned);
  const bool continued = part.bytes() > 0;
  int64_t best = part.bytes();
  for (int failures = 0;;) {
    try {
      part.keep_only_of(url, options.pinned);
      Attempt(url, part, options).run();
      break;
    } catch (const Broken& broken) {
      if (part.bytes() > best) failures = 0;
      best = std::max(best, part.bytes());
      GAMUT_CHECK(++failures <= options.retries, "cannot fetch ", url, ": ", broken.what(), ", ",
                  failures, " times in a row",
                  part.bytes() == 0 ? ""
                                    : c10::str("; what is there is kept in ", part.path().string(),
                                               ", and the same command goes on from it"));
      const double wait =
          std::max(broken.wait, std::min(options.wait * std::pow(2.0, failures - 1), kLongestWait));
      if (options.note) options.note(c10::str(broken.what(), "; trying again in ", wait, " s"));
      sleep_unless_stopped(wait, options);
    }
  }
  if (options.progress) options.progress(part.bytes(), part.bytes());
  const bool restarted = part.restarted();
  const int64_t bytes = part.bytes();
  return {part.path(), bytes, part.finish(), continued && !restarted};
}

}  // namespace gamut::data
