use super::*;

fn directory(sources: &[RecipientSource]) -> Result<Directory, SetupError> {
    Directory::new(sources, OnFailure::Defer, "gw.example", Arc::default())
}

fn list_of(entries: &[&str]) -> RecipientSource {
    RecipientSource::List(entries.iter().map(|&entry| entry.to_owned()).collect())
}

async fn look_up(directory: &Directory, address: &str) -> Existence {
    directory.look_up(&Mailbox::parse(address).unwrap(), Asker::Stranger).await
}

#[tokio::test]
async fn without_sources_everybody_exists_and_with_an_empty_list_nobody_but_the_postmaster() {
    let none = directory(&[]).unwrap();
    assert_eq!(look_up(&none, "anybody@corp.example").await, Existence::Known);
    let empty = directory(&[list_of(&[])]).unwrap();
    assert_eq!(look_up(&empty, "anybody@corp.example").await, Existence::Unknown);
    assert_eq!(look_up(&empty, "PostMaster@corp.example").await, Existence::Known);
}

#[tokio::test]
async fn a_list_and_a_file_complete_each_other_and_a_missing_file_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (there, missing) = (dir.path().join("there.txt"), dir.path().join("missing.txt"));
    std::fs::write(&there, "night@corp.example\n").unwrap();
    let both = directory(&[list_of(&["ops@corp.example"]), RecipientSource::File(there)]).unwrap();
    for (address, existence) in [
        ("Ops@Corp.Example", Existence::Known),
        ("night@corp.example", Existence::Known),
        ("guess@corp.example", Existence::Unknown),
    ] {
        assert_eq!(look_up(&both, address).await, existence, "{address}");
    }
    let broken = directory(&[list_of(&["ops@corp.example"]), RecipientSource::File(missing)]).unwrap();
    assert_eq!(look_up(&broken, "ops@corp.example").await, Existence::Known);
    assert_eq!(look_up(&broken, "guess@corp.example").await, Existence::Unavailable);
    let findings = broken.examine(&["corp.example"], Duration::from_secs(1)).await;
    assert!(
        matches!(&findings[..], [Finding { number: 1, source: SourceKind::File, kind: FindingKind::Fault(fault) }]
            if fault.contains("missing.txt cannot be read")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_each_source_says_is_told_in_the_order_of_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let missing = RecipientSource::File(dir.path().join("missing.txt"));
    let all = [missing, list_of(&["ops@corp.example"]), list_of(&["@plant.example"])];
    let directory = Directory::new(&all, OnFailure::Accept, "gw.example", Arc::default()).unwrap();
    let explain = async |address: &str, asker| {
        let within = Duration::from_secs(1);
        let (existence, statements) =
            directory.explain(&Mailbox::parse(address).unwrap(), asker, within).await;
        assert!(statements[0].cause.as_ref().is_some_and(|cause| cause.contains("cannot be read")));
        (existence, statements.iter().map(|said| (said.number, said.answer)).collect::<Vec<_>>())
    };
    let (known, unknown, unavailable) = (Existence::Known, Existence::Unknown, Existence::Unavailable);
    let (existence, said) = explain("ops@corp.example", Asker::Stranger).await;
    assert_eq!((existence, said), (known, vec![(0, unavailable), (1, known), (2, unknown)]));
    let (existence, said) = explain("guess@corp.example", Asker::Stranger).await;
    assert_eq!((existence, said), (unavailable, vec![(0, unavailable), (1, unknown), (2, unknown)]));
    assert_eq!(explain("guess@corp.example", Asker::OwnUser).await.0, known);
    assert_eq!(explain("Postmaster@corp.example", Asker::Stranger).await.0, known);
}

#[test]
fn settings_that_can_never_work_are_refused_with_the_fix() {
    let error = directory(&[list_of(&["ops"])]).unwrap_err().to_string();
    assert_eq!(
        error,
        "relay.recipients: \"ops\" has no domain; write the whole address, for example ops@example.com, or @domain \
         for all of one"
    );
    for (url, filter, bind, part) in LDAP_FAULTS {
        let source = RecipientSource::Ldap(Box::new(settings::Ldap {
            url: (*url).to_owned(),
            tls: settings::TlsMode::None,
            ca_file: None,
            base: "dc=corp,dc=example".to_owned(),
            filter: (*filter).to_owned(),
            bind: bind.map(|dn: &str| (dn.to_owned(), String::new().into())),
            timeout: Duration::from_secs(5),
        }));
        let error = directory(&[source]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// URL, filter, bind_dn with an empty password, and a part of what is said.
type LdapFault = (&'static str, &'static str, Option<&'static str>, &'static str);
#[cfg(feature = "ldap")]
const LDAP_FAULTS: &[LdapFault] = &[
    ("http://dc1", "(mail={address})", None, "ldap.url \"http://dc1\""),
    ("ldap://dc1", "(mail=*)", None, "with {address} in it"),
    ("ldap://dc1", "(mail={address}", None, "is no RFC 4515 filter"),
    ("ldap://dc1", "(mail={address})", Some("cn=gw"), "password of bind_dn \"cn=gw\" is empty"),
];
#[cfg(not(feature = "ldap"))]
const LDAP_FAULTS: &[LdapFault] = &[("ldap://dc1", "(mail={address})", None, "this build has no LDAP")];
