"""The greeting service that the example skill asks: one line for GET /greeting?name=NAME on a port of
this machine. Used by ./install.sh --try only."""

import http.server
import sys
import urllib.parse


class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        name = urllib.parse.parse_qs(url.query).get("name", ["you"])[0]
        self.send_response(200 if url.path == "/greeting" else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"Good day, {name}!\n".encode())

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Greeter)
print("ready", flush=True)
server.serve_forever()
