//! HTTP through real proxies: squid and tinyproxy.

use std::time::Duration;

use bytes::Bytes;
use mailslotd::config::check::SecretOrigin;
use mailslotd::config::settings::{BrokerTls, OutboundProxy, ProxyLogin, Secret};
use mailslotd::net::http::{
    Client, Finding, HeaderMap, Limits, Method, Options, Remedy, Request, Response, Stage, StatusCode,
};
use mailslotd::policy::reach::Reach;
use mailslotd::wire::url::{Host, HttpUrl};

mod support;

use support::certificates::{Certificates, Validity};
use support::http_proxy::{FORBIDDEN_HOST, HIDDEN_HOST, HttpProxy, PASSWORD, USER};
use support::require;
use support::web_service::{Certificate, WebService};

fn login(password: &str) -> ProxyLogin {
    let origin = SecretOrigin::Variable("PROXY_PASSWORD".to_owned());
    ProxyLogin { user: USER.to_owned(), password: Secret { text: password.to_owned().into(), origin } }
}

fn settings(proxy: &HttpProxy, login: Option<ProxyLogin>) -> OutboundProxy {
    OutboundProxy { host: Host::parse("127.0.0.1").unwrap(), port: proxy.port, login, except: Vec::new() }
}

fn client(proxy: &OutboundProxy, tls: &BrokerTls) -> Client {
    let limits = Limits { connections: 4, timeout: Duration::from_secs(20), body: 1024 };
    Client::new(Options { tls, proxy: Some(proxy), reach: Reach::Anywhere, limits }).unwrap()
}

fn request(url: &str) -> Request {
    let body = Bytes::from_static(b"{\"id\": \"1\"}");
    Request { method: Method::POST, url: HttpUrl::parse(url).unwrap(), headers: HeaderMap::new(), body }
}

fn taken(response: &Response) {
    assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"taken"[..]));
}

#[tokio::test]
async fn squid_tunnels_to_a_name_that_only_it_knows_and_tls_is_checked_through_it() {
    let proxy = require!(HttpProxy::squid());
    let authority = Certificates::of_authority("Plant CA");
    let (certificate, key) = authority.make(HIDDEN_HOST, Validity::Good);
    let tls = Certificate { certificate: &certificate, key: &key, client_ca: None };
    let service = require!(WebService::with_tls(tls));
    let tls = BrokerTls { ca_file: Some(authority.ca_file()), client_certificate: None };
    let url = format!("https://{HIDDEN_HOST}:{}/hook", service.port);
    let through = settings(&proxy, Some(login(PASSWORD)));
    let client = client(&through, &tls);
    for _ in 0..2 {
        taken(&client.send(&request(&url)).await.unwrap());
    }
    let seen = service.seen();
    assert_eq!(seen[0]["connection"], seen[1]["connection"], "the tunnel is kept");
    assert_eq!(seen[0]["path"], "/hook");
    assert!(seen[0]["headers"].get("proxy-authorization").is_none(), "the server never sees that login");

    let trace = client.traced(&request(&url)).await;
    taken(&trace.result.unwrap());
    let findings: Vec<_> = trace.steps.into_iter().map(|step| step.finding).collect();
    let [
        Finding::Resolved { .. },
        Finding::Connected { address },
        Finding::Tunnelled { target },
        Finding::Secured { version: "TLS 1.3", issuer },
        Finding::Answered { clock_skew: Some(skew), .. },
    ] = &*findings
    else {
        panic!("{findings:?}")
    };
    assert_eq!(address.port(), proxy.port);
    assert_eq!(
        (target.as_str(), issuer.as_str()),
        (&*format!("{HIDDEN_HOST}:{}", service.port), "CN=Plant CA")
    );
    assert!(skew.as_secs().abs() < 60);
}

#[tokio::test]
async fn what_squid_refuses_is_told_in_its_administrators_words() {
    let proxy = require!(HttpProxy::squid());
    let service = require!(WebService::start());
    let tls = BrokerTls::default();
    let port = service.port;
    let closed = support::free_port();
    for (login_as, host, port, stage, remedy, said) in [
        (None, HIDDEN_HOST, port, Stage::Proxy, Remedy::Operator, "wants a login; add outbound_proxy.user"),
        (
            Some("wrong"),
            HIDDEN_HOST,
            port,
            Stage::Proxy,
            Remedy::Operator,
            "refuses the login; check outbound_proxy.user",
        ),
        (Some(PASSWORD), FORBIDDEN_HOST, port, Stage::Proxy, Remedy::Operator, "does not let us through"),
        (Some(PASSWORD), HIDDEN_HOST, closed, Stage::Proxy, Remedy::Wait, "cannot reach"),
        (Some(PASSWORD), "no.such.name.invalid", port, Stage::Proxy, Remedy::Wait, "cannot reach"),
        (Some(PASSWORD), HIDDEN_HOST, port, Stage::Tls, Remedy::Operator, "does not speak TLS"),
    ] {
        let through = settings(&proxy, login_as.map(login));
        let fault =
            client(&through, &tls).send(&request(&format!("https://{host}:{port}/"))).await.unwrap_err();
        assert_eq!((fault.stage(), fault.remedy()), (stage, remedy), "{fault}");
        assert!(fault.to_string().contains(said), "{fault}");
    }
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn http_goes_whole_to_either_proxy() {
    let service = require!(WebService::start());
    let squid = require!(HttpProxy::squid());
    let tinyproxy = require!(HttpProxy::tinyproxy());
    for (proxy, host) in [(&squid, HIDDEN_HOST), (&tinyproxy, ANY_ADDRESS)] {
        let through = settings(proxy, Some(login(PASSWORD)));
        let request = request(&format!("http://{host}:{}/a?b", service.port));
        taken(&client(&through, &BrokerTls::default()).send(&request).await.unwrap());
        let seen = service.seen();
        let request = seen.last().unwrap();
        assert_eq!(request["path"], "/a?b");
        assert_eq!(request["headers"]["host"], format!("{host}:{}", service.port));
        assert!(request["headers"].get("proxy-authorization").is_none());
        let through = settings(proxy, None);
        let fault = client(&through, &BrokerTls::default())
            .send(&self::request(&format!("http://{host}:{}/", service.port)))
            .await
            .unwrap_err();
        assert!(fault.to_string().contains("wants a login"), "{fault}");
    }
}

#[tokio::test]
async fn tinyproxy_tunnels_and_refuses() {
    let proxy = require!(HttpProxy::tinyproxy());
    let authority = Certificates::of_authority("Plant CA");
    let (certificate, key) = authority.make(ANY_ADDRESS, Validity::Good);
    let tls = Certificate { certificate: &certificate, key: &key, client_ca: None };
    let service = require!(WebService::with_tls(tls));
    let tls = BrokerTls { ca_file: Some(authority.ca_file()), client_certificate: None };
    let through = settings(&proxy, Some(login(PASSWORD)));
    let url = |port| format!("https://{ANY_ADDRESS}:{port}/hook");
    taken(&client(&through, &tls).send(&request(&url(service.port))).await.unwrap());
    for (password, port, said) in
        [("wrong", service.port, "refuses the login"), (PASSWORD, support::free_port(), "cannot reach")]
    {
        let through = settings(&proxy, Some(login(password)));
        let fault = client(&through, &tls).send(&request(&url(port))).await.unwrap_err();
        assert_eq!(fault.stage(), Stage::Proxy, "{fault}");
        assert!(fault.to_string().contains(said), "{fault}\n{}", proxy.log());
    }
}

/// This machine by an address that is not exempt from going through a proxy, as those of loopback are.
const ANY_ADDRESS: &str = "0.0.0.0";
