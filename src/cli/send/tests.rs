use super::*;

#[test]
fn addresses_name_a_port_or_take_that_of_the_service() {
    let host = Ipv4Addr::new(192, 0, 2, 255);
    assert_eq!(parse_address("192.0.2.255"), Ok(Address { host, port: None }));
    let host = Ipv4Addr::LOCALHOST;
    assert_eq!(parse_address("127.0.0.1:10138"), Ok(Address { host, port: Some(10138) }));
    assert!(parse_address("gw1").is_err() && parse_address("[::1]:138").is_err());
}

#[test]
fn a_session_cannot_be_had_with_everybody() {
    for to in [Addressee::Everyone, Addressee::Workgroup("PLANT".to_owned())] {
        let args = Args {
            from: Some("UPS7".to_owned()),
            via: Via::Session,
            address: Vec::new(),
            wins: Vec::new(),
            code_page: None,
            to,
            text: vec!["on battery".to_owned()],
        };
        assert_eq!(run(args, &Global { quiet: true, ..Global::default() }), Exit::Usage);
    }
}
