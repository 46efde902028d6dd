//! The names of the gateway on a LAN: what Samba's programs find, and who gets a name that two want.

use std::io::Write as _;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use mailslotd::wire::name_service::{Flags, Packet, Question, RecordData, RecordType};
use mailslotd::wire::netbios_name::{NameType, NetbiosName, Scope};
use support::gateway::{self, write_config};
use support::lan_gateway::Gateway;
use support::name_programs::NamePrograms;
use support::namespace::{Host, Lan, wait_for};
use support::net_send::Smbclient;
use support::require;
use support::samba::Nmbd;

mod support;

/// A gateway that claims ALERTS.
const ANSWERS: &str = "netbios: { mode: answer, host_name: GW1, names: [ALERTS], workgroup: PLANT }\n";

/// Long enough for a claim, a lost packet, and a slow machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn nmblookup_and_smbtorture_find_what_they_find_on_windows() {
    let lan = require!(Lan::new(2));
    let programs = require!(NamePrograms::on(lan.host(1)));
    let gateway = Gateway::start_with(lan.host(0), ANSWERS);
    gateway.wait_until_claimed(4);

    assert!(programs.who_has("ALERTS#03").unwrap().contains("192.0.2.1 ALERTS<03>"));
    assert!(programs.who_has("PLANT#00").unwrap().contains("192.0.2.1 PLANT<00>"));
    assert!(programs.who_has("*").unwrap().contains("192.0.2.1 *<00>"));
    for foreign in ["NOBODY#03", "PLANT#1d", "PLANT#1b", "PLANT#1e"] {
        programs.who_has(foreign).unwrap_err();
    }
    let status = programs.status_of("192.0.2.1").unwrap();
    let lines: Vec<String> =
        status.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "GW1 <00> - B <ACTIVE>",
        "GW1 <20> - B <ACTIVE>",
        "PLANT <00> - <GROUP> B <ACTIVE>",
        "ALERTS <03> - B <ACTIVE>",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in\n{status}");
    }
    assert!(
        status.contains("MAC Address = ") && !status.contains("MAC Address = 00-00-00-00-00-00"),
        "{status}"
    );

    let tortured = programs.torture("GW1", "nbt.register").unwrap();
    for test in ["register_own", "refresh_own"] {
        assert!(tortured.contains(&format!("success: {test}")), "{tortured}");
    }
}

#[test]
fn in_mode_observe_a_question_is_noted_and_not_one_packet_leaves() {
    let lan = require!(Lan::new(2));
    let programs = require!(NamePrograms::on(lan.host(1)));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    programs.who_has("ALERTS#03").unwrap_err();
    wait_for(SOON, "the questions are counted", || {
        (gateway.sum("mailslotd_name_queries_total{answer=\"observed\"}") >= 1).then_some(())
    });
    let name = wait_for(SOON, "the name is in the inventory", || {
        gateway.inventory()["asked_names"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&name["name"], &name["type"]), (&"ALERTS".into(), &3.into()));
    assert_eq!(name["askers"][0]["address"], "192.0.2.2");
    assert_eq!(gateway.sum("mailslotd_netbios_packets_sent_total"), 0);
    assert_eq!(gateway.host.packets_sent(), 0);
}

#[test]
fn a_real_nmbd_does_not_get_a_name_of_ours_and_elects_itself_undisturbed() {
    let lan = require!(Lan::new(3));
    let programs = require!(NamePrograms::on(lan.host(2)));
    let gateway = Gateway::start_with(lan.host(0), ANSWERS);
    gateway.wait_until_claimed(4);
    let master = "workgroup = PLANT\nlocal master = yes\npreferred master = yes\nos level = 200\n";
    let nmbd = require!(Nmbd::start_with(&lan.host(1), "ALERTS", master));

    wait_for(SOON, "nmbd is refused", || {
        (gateway.sum("mailslotd_name_claims_refused_total") >= 1).then_some(())
    });
    assert!(
        gateway.said().contains("Another host wanted a name of ours and was refused."),
        "{}",
        gateway.said()
    );
    wait_for(Duration::from_secs(60), "nmbd is the master browser of the gateway's own workgroup", || {
        nmbd.log().contains("is now a local master browser for workgroup PLANT").then_some(())
    });
    let found = programs.who_has("ALERTS#03").unwrap();
    assert!(found.contains("192.0.2.1 ALERTS<03>") && !found.contains("192.0.2.2 "), "{found}");
    let master = programs.who_has("PLANT#1d").unwrap();
    assert!(master.contains("192.0.2.2 ") && !master.contains("192.0.2.1 "), "{master}");
}

#[test]
fn a_name_that_a_real_host_has_is_told_with_its_owner_and_the_rest_is_ours() {
    let lan = require!(Lan::new(2));
    let _nmbd = require!(Nmbd::start(&lan.host(1), "ALERTS"));
    let programs = require!(NamePrograms::on(lan.host(1)));
    wait_for(Duration::from_secs(60), "nmbd has its names", || programs.who_has("ALERTS#03").ok());
    let gateway = Gateway::start_with(lan.host(0), ANSWERS);
    gateway.wait_until_claimed(3);
    wait_for(SOON, "the conflict is told", || {
        gateway.said().contains("Another host owns the name").then_some(())
    });
    assert!(gateway.said().contains("192.0.2.2"), "{}", gateway.said());
    assert_eq!(gateway.sum("mailslotd_netbios_names{name=\"ALERTS\",state=\"conflict\",suffix=\"03\"}"), 1);
    assert_eq!(gateway.sum("mailslotd_name_conflicts_total{with=\"host\"}"), 1);
    let found = programs.who_has("ALERTS#03").unwrap();
    assert!(found.contains("192.0.2.2 ALERTS<03>") && !found.contains("192.0.2.1 "), "{found}");
}

#[test]
fn the_messenger_name_of_a_machine_is_ours_beside_its_own_names_and_free_again_after_sigterm() {
    let lan = require!(Lan::new(3));
    let programs = require!(NamePrograms::on(lan.host(2)));
    let machine = Gateway::start_with(lan.host(1), "netbios: { mode: answer, host_name: PC01 }\n");
    machine.wait_until_claimed(3);
    let for_pc01 = "netbios: { mode: answer, host_name: GW1, names: [PC01] }\n";
    let mut gateway = Gateway::start_with(lan.host(0), for_pc01);
    gateway.wait_until_claimed(4);
    assert!(programs.who_has("PC01#03").unwrap().contains("192.0.2.1 PC01<03>"));
    assert!(programs.who_has("PC01#20").unwrap().contains("192.0.2.2 PC01<20>"));

    // A second gateway that wants the name gets it as soon as the first one gives it up.
    let second =
        Gateway::start_with(lan.host(2), "netbios: { mode: answer, host_name: GW2, names: [PC01] }\n");
    wait_for(SOON, "the conflict is told", || {
        second.said().contains("Another host owns the name").then_some(())
    });
    gateway.terminate();
    assert!(gateway.ended(SOON).success(), "{}", gateway.said());
    second.wait_until_claimed(4);
    assert!(programs.who_has("PC01#03").unwrap().contains("192.0.2.3 PC01<03>"));
}

#[test]
fn a_real_wins_server_knows_our_names_until_we_stop() {
    let lan = require!(Lan::new(3));
    let programs = require!(NamePrograms::on(lan.host(2)));
    let _wins = require!(Nmbd::start_with(&lan.host(1), "WINSSRV", "wins support = yes\n"));
    let settings =
        "netbios: { mode: answer, host_name: GW1, names: [ALERTS], workgroup: PLANT, wins: [192.0.2.2] }\n";
    let mut gateway = Gateway::start_with(lan.host(0), settings);
    let found = wait_for(Duration::from_secs(90), "a host that asks WINS alone finds us", || {
        programs.who_has_by_wins("192.0.2.2", "ALERTS#03").ok()
    });
    assert!(found.contains("192.0.2.1 ALERTS<03>"), "{found}");
    wait_for(SOON, "the log tells", || {
        gateway.said().contains("The WINS server has registered the name.").then_some(())
    });
    gateway.terminate();
    assert!(gateway.ended(SOON).success(), "{}", gateway.said());
    wait_for(SOON, "the WINS server knows that we are gone", || {
        programs.who_has_by_wins("192.0.2.2", "ALERTS#03").err()
    });
}

#[test]
fn a_message_of_smbclient_finds_its_way_by_broadcast_and_by_a_wins_server() {
    let lan = require!(Lan::new(3));
    let samba = require!(Smbclient::find());
    let _wins = require!(Nmbd::start_with(&lan.host(1), "WINSSRV", "wins support = yes\n"));
    let gateway = Gateway::start_with(
        lan.host(0),
        "hostname: gw.test\n\
         netbios: { mode: answer, host_name: GW1, names: [ALERTS], wins: [192.0.2.2], code_page: cp850 }\n",
    );
    gateway.wait_until_claimed(4);
    wait_for(Duration::from_secs(90), "the WINS server has the names", || {
        (gateway.said().matches("The WINS server has registered the name.").count() == 4).then_some(())
    });
    for (order, text) in [("bcast", "by broadcast: Öl über 90 Grad"), ("wins", "by WINS")] {
        smbclient(&samba, &lan.host(2), order, text);
    }
    let mails =
        wait_for(SOON, "both are in the inbox", || Some(gateway.inbox()).filter(|mails| mails.len() == 2));
    for text in ["by broadcast:", "by WINS"] {
        assert!(mails.iter().any(|mail| mail.contains(text)), "{text} is not in\n{mails:?}");
    }
}

/// Has `smbclient -M ALERTS` on `host` find the name in this way and send a text.
fn smbclient(samba: &Smbclient, host: &Host, resolve_order: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = samba.command(host, folder.path(), "ALERTS");
    command.arg(format!("--option=name resolve order={resolve_order}"));
    command.args(["--option=wins server=192.0.2.2", "--option=interfaces=eth0"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("NT_STATUS"), "{said}");
}

#[test]
fn on_loopback_names_are_answered_without_any_privilege() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), ANSWERS);
    let gateway = gateway::Gateway::start(&config);
    let address = gateway.name_service.unwrap().to_string();
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let name = NetbiosName::new(b"ALERTS", NameType::MESSENGER).unwrap();
    let question = Question::new(name, Scope::default(), RecordType::NB);
    let mut payload = Vec::new();
    Packet::query(0x4711, Flags::QUERY, question).emit(&mut payload);
    asker.send_to(&payload, &address).unwrap();
    let mut room = [0; 576];
    let (length, from) = asker.recv_from(&mut room).unwrap();
    assert_eq!(from.to_string(), address);
    let answer = Packet::parse(&room[..length]).unwrap();
    assert_eq!((answer.transaction, answer.flags), (0x4711, Flags::QUERY_RESPONSE));
    let RecordData::Addresses(addresses) = &answer.answers[0].data else { panic!("{answer:?}") };
    assert_eq!(addresses[0].address.to_string(), "127.0.0.1");
    assert_eq!(gateway.metric("mailslotd_name_queries_total{answer=\"positive\"}"), 1);
    let (status, _) = gateway.stop();
    assert!(status.success());
}
