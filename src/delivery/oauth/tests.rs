pub(in crate::delivery) mod provider;

use std::sync::atomic::AtomicUsize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::check::SecretOrigin;
use crate::config::settings::{Algorithm, BrokerTls, CertificateFiles, ClientProof, Secret};
use provider::{Manner, Rotating};

/// A provider that gives these answers in turn, the last one for ever, and counts the requests.
async fn provider(answers: Vec<(u16, &'static str, &'static str)>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let _read = stream.read(&mut request).await.unwrap();
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let (status, fields, body) = answers[number.min(answers.len() - 1)];
            let answer = format!(
                "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, count)
}

fn source(url: &str, grant: Grant) -> TokenSource {
    let settings = OAuth {
        grant,
        token_url: HttpUrl::parse(url).unwrap(),
        device_url: None,
        scope: "mail".to_owned(),
        tls: BrokerTls::default(),
    };
    TokenSource::new(DestinationName::new("smarthost").unwrap(), &settings, None).unwrap()
}

fn by_secret() -> Grant {
    let origin = SecretOrigin::Variable("SECRET".to_owned());
    let secret = Secret { text: Zeroizing::new("sesame".to_owned()), origin };
    Grant::ClientCredentials {
        client_id: "id".to_owned(),
        proof: ClientProof::Secret { secret, expires: None },
    }
}

fn by_login(file: &Path) -> Grant {
    Grant::RefreshToken { client_id: "id".to_owned(), proof: None, file: file.to_owned() }
}

const GOOD: (u16, &str, &str) =
    (200, "", r#"{"access_token":"one","token_type":"Bearer","expires_in":3600}"#);
const OTHER: (u16, &str, &str) =
    (200, "", r#"{"access_token":"two","token_type":"Bearer","expires_in":3600}"#);

#[tokio::test]
async fn twenty_that_want_a_token_at_once_make_one_request() {
    let (url, count) = provider(vec![GOOD]).await;
    let source = source(&url, by_secret());
    let mut users = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let source = source.clone();
        users.spawn(async move { source.token().await.unwrap() });
    }
    assert!(users.join_all().await.iter().all(|token| token.expose() == "one"));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn twenty_that_wait_for_a_request_that_fails_share_its_failure() {
    let (url, count) = provider(vec![(503, "", "busy")]).await;
    let source = source(&url, by_secret());
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let source = source.clone();
        set.spawn(async move { source.token().await.unwrap_err() });
    }
    for fault in set.join_all().await {
        assert!(matches!(&fault, TokenFault::Down(reason) if reason.contains("HTTP 503")), "{fault:?}");
    }
    assert!(count.load(Ordering::SeqCst) < 20, "they did not share");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_however_many_had_it() {
    let (url, count) = provider(vec![GOOD, OTHER]).await;
    let source = source(&url, by_secret());
    let first = source.token().await.unwrap();
    let (a, b) = tokio::join!(source.after_refusal(&first), source.after_refusal(&first));
    assert_eq!((a.unwrap().expose(), b.unwrap().expose()), ("two", "two"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_made_up_for_with_the_providers() {
    let refused = (
        401,
        "Date: Tue, 01 Jan 2030 00:00:00 GMT\r\n",
        r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range."}"#,
    );
    let (url, count) = provider(vec![refused, GOOD]).await;
    let dir = tempfile::tempdir().unwrap();
    let files = rsa_files(dir.path());
    let proof = ClientProof::Certificate { files, algorithm: Algorithm::Ps256 };
    let source = source(&url, Grant::ClientCredentials { client_id: "id".to_owned(), proof });
    assert_eq!(source.token().await.unwrap().expose(), "one");
    assert_eq!(count.load(Ordering::SeqCst), 2, "asked again with the other time");
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_kept_stops_deliveries_and_is_not_lost() {
    let rotated = (200, "", r#"{"access_token":"one","refresh_token":"next","expires_in":3600}"#);
    let (url, count) = provider(vec![rotated]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("folder/refresh");
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(&file, "first").unwrap();
    let source =
        source(&url, Grant::RefreshToken { client_id: "id".to_owned(), proof: None, file: file.clone() });
    // A folder in the way of the file that is written beside.
    let in_the_way = dir.path().join(format!("folder/refresh.new{}", std::process::id()));
    std::fs::create_dir(&in_the_way).unwrap();
    let fault = source.token().await.unwrap_err();
    assert!(matches!(&fault, TokenFault::Operator(reason) if reason.contains("cannot be kept")), "{fault:?}");
    assert!(!fault.reason().contains("next"), "{fault:?}");
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(source.token().await.unwrap().expose(), "one");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "next\n");
    assert_eq!(count.load(Ordering::SeqCst), 1, "the token that came along is used");
}

#[tokio::test]
async fn a_spent_refresh_token_is_not_sent_again_while_its_successor_cannot_be_kept() {
    let rotated = (200, "", r#"{"access_token":"one","refresh_token":"next","expires_in":3600}"#);
    let (url, count) = provider(vec![rotated]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("refresh");
    std::fs::write(&file, "first").unwrap();
    let source = source(&url, Grant::RefreshToken { client_id: "id".to_owned(), proof: None, file });
    let in_the_way = dir.path().join(format!("refresh.new{}", std::process::id()));
    std::fs::create_dir(&in_the_way).unwrap();
    source.token().await.unwrap_err();
    // Providers that see a spent one again withdraw all that came of it (RFC 9700 §4.14.2).
    let token = AccessToken::new("one").unwrap();
    let fault = source.after_refusal(&token).await.unwrap_err();
    assert!(matches!(&fault, TokenFault::Operator(reason) if reason.contains("cannot be kept")), "{fault:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn two_that_share_a_file_never_spend_the_same_refresh_token() {
    let provider = Rotating::start(Manner::LooksForOthers).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("refresh");
    std::fs::write(&file, "token-0\n").unwrap();
    // As two processes: `flock` tells files that were opened apart, whoever opened them.
    let service = source(&provider.url, by_login(&file));
    let command = source(&provider.url, by_login(&file));
    let (token, traced) = tokio::join!(service.token(), command.traced());
    assert!(token.is_ok() && traced.result.is_ok(), "{token:?} {traced:?}");
    assert_eq!((provider.seen(), provider.spent_again()), (2, 0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "token-2\n");
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_has_its_refresh_token_kept() {
    let provider = Rotating::start(Manner::Holds).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("refresh");
    std::fs::write(&file, "token-0\n").unwrap();
    let source = source(&provider.url, by_login(&file));
    tokio::select! {
        biased;
        _ = source.token() => panic!("there is no answer yet"),
        () = provider.asked() => {}
    }
    provider.let_go();
    source.settled().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "token-1\n");
    assert_eq!(source.token().await.unwrap().expose(), "access-1", "what came along is used");
    assert_eq!(provider.seen(), 1);
}

#[tokio::test]
async fn a_request_that_spends_no_refresh_token_is_left_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(&format!("http://{}/token", silent.local_addr().unwrap()), by_secret());
    let _asked = tokio::select! {
        biased;
        _ = source.token() => panic!("there is no answer"),
        asked = silent.accept() => asked.unwrap(),
    };
    tokio::time::timeout(Duration::from_secs(10), source.settled()).await.expect("it is waited for");
}

#[tokio::test]
async fn a_login_while_a_token_could_not_be_kept_is_not_overwritten() {
    let rotated = (200, "", r#"{"access_token":"one","refresh_token":"next","expires_in":3600}"#);
    let (url, _) = provider(vec![rotated]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("refresh");
    std::fs::write(&file, "first").unwrap();
    let source = source(&url, by_login(&file));
    let in_the_way = dir.path().join(format!("refresh.new{}", std::process::id()));
    std::fs::create_dir(&in_the_way).unwrap();
    source.token().await.unwrap_err();
    std::fs::remove_dir(&in_the_way).unwrap();
    keep_login(&file, Zeroizing::new("of a login".to_owned())).await.unwrap();
    assert_eq!(source.token().await.unwrap().expose(), "one");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of a login\n");
}

#[tokio::test]
async fn a_secret_that_is_not_there_names_its_file() {
    let origin = SecretOrigin::File("/nonexistent/secret".into());
    let secret = Secret { text: Zeroizing::default(), origin };
    let proof = ClientProof::Secret { secret, expires: None };
    let grant = Grant::ClientCredentials { client_id: "id".to_owned(), proof };
    let fault = source("http://127.0.0.1:1/token", grant).token().await.unwrap_err();
    assert!(
        matches!(&fault, TokenFault::Operator(reason) if reason.contains("/nonexistent/secret")),
        "{fault:?}"
    );
}

#[test]
fn an_assertion_is_signed_by_the_key_of_its_certificate_in_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let files = rsa_files(dir.path());
    let key = PrivateKeyDer::from_pem_file(&files.key_file).unwrap();
    let PrivateKeyDer::Pkcs8(der) = &key else { panic!("no PKCS #8") };
    let pair = ring::signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let public = pair.public_key().as_ref();
    let now = Timestamp::from_second(1_000_000_000).unwrap();
    for (algorithm, verify) in [
        (Algorithm::Ps256, UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public)),
        (Algorithm::Rs256, UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)),
    ] {
        let jwt =
            signing::client_assertion(&files, algorithm, ("id", "https://login.example/t"), now).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        verify.verify(signed.as_bytes(), &signature).unwrap();
    }
}

/// A certificate with an RSA key of the tests' own.
fn rsa_files(dir: &Path) -> CertificateFiles {
    let files = CertificateFiles { certificate: dir.join("oauth.pem"), key_file: dir.join("oauth.key") };
    std::fs::write(&files.certificate, include_str!("../../../tests/fixtures/oauth/rsa.pem")).unwrap();
    std::fs::write(&files.key_file, include_str!("../../../tests/fixtures/oauth/rsa.key")).unwrap();
    files
}
