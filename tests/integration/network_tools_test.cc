// The programs that fetch things: each takes the proxy from its environment, over HTTP and TLS, and
// gets what is approved and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <sstream>

#include "common/fd.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

// What is in its directory, by HTTP and by HTTPS with a certificate of its own; its two ports are
// in the file "ports".
constexpr const char* kServer = R"(
import http.server, ssl, threading
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *ignored): pass
plain = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Quiet)
secure = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Quiet)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificate.pem', 'key.pem')
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
open('ports', 'w').write(f'{plain.server_port} {secure.server_port}')
print('ready', flush=True)
plain.serve_forever()
)";

// A repository for git's plain HTTP, an index of pip's with one wheel, a registry of npm's with one
// package, a file.
constexpr const char* kSite = R"(set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=site.localhost \
  -addext subjectAltName=DNS:site.localhost -keyout key.pem -out certificate.pem 2>/dev/null
echo hello > file
git init -q source && cd source && echo of-git > content && git add content
git -c user.name=a -c user.email=a@example.com commit -qm first
git update-server-info && cd ..
mkdir -p simple/tiny && cd simple/tiny
python3 - <<'EOF'
import zipfile
with zipfile.ZipFile('tiny-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('tiny.py', 'word = "of-pip"\n')
    wheel.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n')
    wheel.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr('tiny-1.0.dist-info/RECORD', '')
EOF
echo '<a href="tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>' > index.html
cd ../.. && mkdir package
echo '{"name": "small", "version": "1.0.0", "main": "index.js"}' > package/package.json
echo 'module.exports = "of-npm"' > package/index.js
tar czf small-1.0.0.tgz package
)";

const std::string kSiteName = "site.localhost";

// PLAIN and SECURE in a command are the site's name and port.
struct Tool {
  std::string program;
  std::string fetch;  // prints `says`
  std::string says;
};

class NetworkTools : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {"python3", "openssl", "git"}) {
      if (!has(program)) GTEST_SKIP() << program << " is not installed";
    }
    const std::string site = instance_.root() + "/site";
    const Output made =
        instance_.shell("mkdir -p " + site + " && cd " + site + " && " + std::string(kSite));
    ASSERT_EQ(made.status, 0) << made.err;
    write_text(instance_.root() + "/server.py", kServer);
    server_.emplace(std::vector<std::string>{"/usr/bin/python3", instance_.root() + "/server.py"},
                    Process::Options{{{"PATH", "/usr/bin:/bin"}}, site, {}});
    server_->wait_for("ready");
    std::istringstream(read_file(site + "/ports", 64)) >> plain_ >> secure_;
    write_text(
        site + "/small",
        Json{{"name", "small"},
             {"dist-tags", {{"latest", "1.0.0"}}},
             {"versions",
              {{"1.0.0",
                {{"name", "small"},
                 {"version", "1.0.0"},
                 {"dist",
                  {{"tarball", "https://site.localhost:" + secure_ + "/small-1.0.0.tgz"}}}}}}}}
            .dump());
    std::filesystem::copy_file(site + "/certificate.pem", instance_.workspace() + "/ca.pem");
    std::filesystem::permissions(instance_.workspace() + "/ca.pem",
                                 std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
  }
  static bool has(const std::string& program) {
    return ::access(("/usr/bin/" + program).c_str(), X_OK) == 0;
  }
  void start(Json config = Json::object()) {
    config["services"] = {{"plain", "site.localhost:" + plain_},
                          {"secure", "site.localhost:" + secure_}};
    instance_.configure(config.dump());
    instance_.start();
  }
  Output run(const std::string& command) const {
    return instance_.run(
        {"/bin/sh", "-c", "set -e; d=$(mktemp -d); ca=$PWD/ca.pem; cd $d; " + command});
  }
  // How many connections to `host` there were by this protocol. What is allowed counts when it
  // begins.
  int count(const std::string& host, const std::string& protocol,
            const std::string& decision) const {
    int found = 0;
    for (const Json& record : instance_.records("connection")) {
      const Json& payload = record.at("payload");
      const bool ends = decision == "allow" && payload.value("phase", "") != "open";
      found += !ends && payload.at("host") == host && payload.at("protocol") == protocol &&
               record.at("decision") == decision;
    }
    return found;
  }
  // The egress reports while the command ends.
  bool wait_for_more(int before, const std::string& host, const std::string& protocol,
                     const std::string& decision) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (count(host, protocol, decision) <= before) {
      if (std::chrono::steady_clock::now() > deadline) return false;
    }
    return true;
  }

  Instance instance_;
  std::optional<Process> server_;
  std::string plain_;
  std::string secure_;
};

std::vector<Tool> tools() {
  return {
      {"curl", "curl -sSf http://PLAIN/file", "hello\n"},
      {"curl", "curl -sSf --cacert $ca https://SECURE/file", "hello\n"},
      {"wget", "wget -qO- --tries=1 http://PLAIN/file", "hello\n"},
      {"wget", "wget -qO- --tries=1 --ca-certificate=$ca https://SECURE/file", "hello\n"},
      {"python3",
       "python3 -c 'import ssl, sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], "
       "context=ssl.create_default_context(cafile=sys.argv[2])).read().decode())' "
       "https://SECURE/file $ca",
       "hello\n"},
      {"git", "git clone -q http://PLAIN/source/.git c && cat c/content", "of-git\n"},
      {"git", "git -c http.sslCAInfo=$ca clone -q https://SECURE/source/.git c && cat c/content",
       "of-git\n"},
      {"pip3",
       "/usr/bin/pip3 install -q --no-deps --disable-pip-version-check --retries 0 --cert $ca "
       "--target t --index-url https://SECURE/simple tiny && "
       "PYTHONPATH=t /usr/bin/python3 -c 'import tiny; print(tiny.word)'",
       "of-pip\n"},
      {"npm",
       "npm install --silent --no-audit --no-fund --fetch-retries=0 --cafile=$ca --prefix . "
       "--registry https://SECURE/ small && node -p 'require(\"./node_modules/small\")'",
       "of-npm\n"}};
}

std::string with(std::string text, const std::string& word, const std::string& value) {
  for (std::size_t at; (at = text.find(word)) != std::string::npos;) {
    text.replace(at, word.size(), value);
  }
  return text;
}

TEST_F(NetworkTools, FetchByTheProxyOfTheirEnvironment) {
  start();
  for (const Tool& tool : tools()) {
    SCOPED_TRACE(tool.fetch);
    if (!has(tool.program)) continue;
    const int before = count(kSiteName, "http", "allow");
    const Output reached = run(with(with(tool.fetch, "PLAIN", kSiteName + ":" + plain_), "SECURE",
                                    kSiteName + ":" + secure_));
    EXPECT_EQ(reached.out, tool.says) << reached.err;
    EXPECT_TRUE(wait_for_more(before, kSiteName, "http", "allow"));

    const int blocked = count("evil.example", "http", "block");
    const Output refused =
        run(with(with(tool.fetch, "PLAIN", "evil.example"), "SECURE", "evil.example"));
    EXPECT_NE(refused.status, 0);
    EXPECT_EQ(refused.out, "");
    EXPECT_TRUE(wait_for_more(blocked, "evil.example", "http", "block"));
  }
  for (const char* other : {"caught", "socks5"}) {
    EXPECT_EQ(count(kSiteName, other, "allow"), 0) << "something went another way";
  }
}

// It is told of no proxy.
TEST_F(NetworkTools, JavaIsCaught) {
  if (!has("javac")) GTEST_SKIP() << "the compiler of Java is not installed";
  start();
  write_text(instance_.workspace() + "/Fetch.java", R"(
public class Fetch {
  public static void main(String[] arguments) throws Exception {
    try (var in = new java.net.URL(arguments[0]).openStream()) { in.transferTo(System.out); }
  }
})");
  const std::string java = "java -Xmx256m " + instance_.workspace() + "/Fetch.java ";
  const Output reached = run(java + "http://site.localhost:" + plain_ + "/file");
  EXPECT_EQ(reached.out, "hello\n") << reached.err;
  EXPECT_EQ(reached.err, "");
  EXPECT_TRUE(wait_for_more(0, kSiteName, "caught", "allow"));
  EXPECT_NE(run(java + "http://evil.example/file").status, 0);
}

// The program that connects for git is another one.
TEST_F(NetworkTools, GitAloneHasTheNetworkWhereItAloneIsNamed) {
  if (!has("curl")) GTEST_SKIP() << "curl is not installed";
  start({{"network", {{"programs", {"git"}}}}});
  const std::string site = "http://site.localhost:" + plain_;
  const Output cloned = run("git clone -q " + site + "/source/.git c && cat c/content");
  EXPECT_EQ(cloned.out, "of-git\n") << cloned.err;
  EXPECT_NE(run("curl -sS " + site + "/file").status, 0);
}

}  // namespace
}  // namespace sharkcage::testing
