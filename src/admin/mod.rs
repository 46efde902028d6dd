//! HTTP: `/metrics`, `/healthz`, `/readyz`, and the control socket.
