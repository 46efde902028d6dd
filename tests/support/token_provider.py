"""An OAuth provider of the test's own: token endpoint, introspection (RFC 7662), device authorization.

Usage: token_provider.py FOLDER. FOLDER/state.json says how it behaves now and is read for each request:
  secret      the client secret that is valid
  generation  tokens of another generation are not active any more: expired, or revoked
  lifetime    expires_in
  mailbox     whom the tokens are for
  answer      instead of a token: [status, body], for a provider that is not well
It appends a line of JSON for each request to FOLDER/requests, and writes its port into FOLDER/port.
"""

import http.server
import json
import os
import sys
import urllib.parse

FOLDER = sys.argv[1]


class Provider(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
        with open(os.path.join(FOLDER, "state.json")) as file:
            state = json.load(file)
        with open(os.path.join(FOLDER, "requests"), "a") as file:
            file.write(json.dumps({"path": self.path, "form": form}) + "\n")
        status, body = self.answer(self.path, form, state)
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer(self, path, form, state):
        if path == "/introspect":
            parts = form.get("token", "").split("-")
            active = len(parts) == 3 and parts[0] == "tok" and parts[1] == str(state["generation"])
            return 200, {"active": active, "email": state["mailbox"], "scope": "mail"} if active else {"active": False}
        if path == "/device":
            return 200, {"device_code": "device", "user_code": "ABCD-1234", "interval": 1, "expires_in": 60,
                         "verification_uri": "https://provider.example/device"}
        if state.get("answer"):
            return tuple(state["answer"])
        if form.get("grant_type", "").endswith("device_code") and state.get("pending"):
            state["pending"] -= 1
            with open(os.path.join(FOLDER, "state.json"), "w") as file:
                json.dump(state, file)
            return 400, {"error": "authorization_pending"}
        if form.get("client_secret") != state["secret"]:
            return 401, {"error": "invalid_client", "error_description":
                         "AADSTS7000222: The provided client secret keys for app 'gateway' are expired. Trace ID: 0"}
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != f"refresh-{state['refresh']}":
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        with open(os.path.join(FOLDER, "requests")) as file:
            number = sum(1 for _ in file)
        granted = {"token_type": "Bearer", "expires_in": state["lifetime"],
                   "access_token": f"tok-{state['generation']}-{number}"}
        if form["grant_type"] != "client_credentials":
            state["refresh"] = state.get("refresh", 0) + 1
            with open(os.path.join(FOLDER, "state.json"), "w") as file:
                json.dump(state, file)
            granted["refresh_token"] = f"refresh-{state['refresh']}"
        return 200, granted

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
with open(os.path.join(FOLDER, "port.new"), "w") as file:
    file.write(str(server.server_address[1]))
os.rename(os.path.join(FOLDER, "port.new"), os.path.join(FOLDER, "port"))
server.serve_forever()
