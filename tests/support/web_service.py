"""A web service that takes requests, and answers them as it is told.

Orders come as lines of JSON on stdin, each answered by one on stdout. Signatures are checked with Python's own hmac.
"""

import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

config = json.loads(sys.argv[1])
seen, answers, poisons, changed = [], [], {}, threading.Condition()


def is_signed(headers, body):
    secret = config.get("secret")
    if secret is None or "webhook-signature" not in headers:
        return None
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = ".".join([headers["webhook-id"], headers["webhook-timestamp"], ""]).encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(headers["webhook-signature"], "v1," + digest)


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def take(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with changed:
            poison = next((poison for poison in poisons if poison.encode() in body), None)
            answer = poisons[poison] if poison else answers.pop(0) if answers else {}
            seen.append({
                "method": self.command,
                "path": self.path,
                "headers": headers,
                "body": body.decode("utf-8", "replace"),
                "signed": is_signed(headers, body),
                "connection": self.client_address[1],
            })
            changed.notify_all()
            if "record" in config:
                with open(config["record"], "a") as record:
                    record.write(json.loads(body)["id"] + "\n")
        getattr(self, answer.get("how", "plainly"))(answer)

    do_POST = do_PUT = do_PATCH = do_GET = take

    def plainly(self, answer):
        body = answer.get("body", "taken").encode()
        self.send_response(answer.get("status", 200))
        for name, value in answer.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def silently(self, _):
        self.close_connection = True

    def in_half(self, answer):
        self.send_response(answer.get("status", 200))
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def never(self, _):
        # Until the other side has had enough.
        self.rfile.read(1)
        self.close_connection = True

    def with_endless_head(self, _):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.until_broken(b"X-Endless: and so on\r\n")

    def with_endless_body(self, answer):
        self.send_response(answer.get("status", 200))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.until_broken(b"5\r\nmore \r\n")

    def until_broken(self, piece):
        self.close_connection = True
        try:
            while True:
                self.wfile.write(piece)
        except OSError:
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def serve(port, context):
    server = Server(("127.0.0.1", port), Service)
    if context:
        # The handshake is the connection's own thread's business.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


context = None
if config.get("certificate"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["certificate"], config["key"])
    if config.get("client_ca"):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(config["client_ca"])
print(json.dumps(serve(config.get("port", 0), context)), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    with changed:
        if "answers" in order:
            answers[:] = order["answers"]
        poisons.update(order.get("poisons", {}))
        changed.wait_for(lambda: len(seen) >= order.get("until", 0), timeout=30)
        print(json.dumps(seen), flush=True)
