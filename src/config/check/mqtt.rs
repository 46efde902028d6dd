//! Topics of an MQTT 5 broker.

use super::super::problem::Problem;
use super::super::raw;
use super::super::settings::Mqtt;
use super::Checking;
use super::broker::{BrokerKeys, CheckedBroker, Schemes};

impl Checking<'_> {
    pub(super) fn mqtt(&mut self, mqtt: raw::Mqtt) -> Mqtt {
        if cfg!(not(feature = "mqtt")) {
            let fix = "build with the Cargo feature `mqtt`, or remove the destination";
            self.problem(Problem::subject(&mqtt.place, "this build has no MQTT", fix));
        }
        let limits = self.queue_limits(mqtt.limits, DEFAULT_IN_FLIGHT);
        let keys = BrokerKeys {
            place: &mqtt.place,
            lost: &mqtt.lost,
            url: mqtt.url,
            url_file: mqtt.url_file,
            url_env: mqtt.url_env,
            user: mqtt.user,
            password_file: mqtt.password_file,
            password_env: mqtt.password_env,
            tls: mqtt.tls,
        };
        let CheckedBroker { broker, path } = self.broker(keys, &SCHEMES);
        if let Some(path) = path.filter(|path| !path.value.is_empty()) {
            let cause = "has something behind its slash, which means nothing to MQTT";
            self.problem(path.problem(cause, "remove it; the topic is the `to` of a rule"));
        }
        if let Some(qos) = mqtt.qos.filter(|qos| qos.value != 1) {
            let cause = "is more than is needed: a repeat is known by its `id`";
            self.problem(qos.problem(cause, "write 1"));
        }
        let client_id = mqtt.client_id.filter(|client_id| {
            let fits = client_id.value.len() <= LONGEST_STRING && !client_id.value.contains('\0');
            if !fits {
                let cause = format!("has more than {LONGEST_STRING} octets, or a NUL in it");
                self.problem(
                    client_id.problem(cause, "write up to 23 letters and digits, which every broker takes"),
                );
            }
            fits && !client_id.value.is_empty()
        });
        Mqtt {
            broker,
            client_id: client_id.map(|client_id| client_id.value),
            event: mqtt.event.map(|event| event.value).unwrap_or_default(),
            limits,
        }
    }
}

const SCHEMES: Schemes = Schemes { clear: "mqtt", clear_port: 1883, tls: "mqtts", tls_port: 8883 };
const DEFAULT_IN_FLIGHT: usize = 256;
/// MQTT 5 §1.5.4.
const LONGEST_STRING: usize = 65_535;
