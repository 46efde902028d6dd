//! Streams of a Redis server.

use super::super::problem::Problem;
use super::super::raw::{self, At};
use super::super::settings::Redis;
use super::Checking;
use super::broker::{BrokerKeys, CheckedBroker, Schemes};

impl Checking<'_> {
    pub(super) fn redis(&mut self, redis: raw::Redis) -> Redis {
        if cfg!(not(feature = "redis")) {
            let fix = "build with the Cargo feature `redis`, or remove the destination";
            self.problem(Problem::subject(&redis.place, "this build has no Redis", fix));
        }
        let limits = self.queue_limits(redis.limits, DEFAULT_IN_FLIGHT);
        let keys = BrokerKeys {
            place: &redis.place,
            lost: &redis.lost,
            url: redis.url,
            url_file: redis.url_file,
            url_env: redis.url_env,
            user: redis.user,
            password_file: redis.password_file,
            password_env: redis.password_env,
            tls: redis.tls,
        };
        let CheckedBroker { broker, path } = self.broker(keys, &SCHEMES);
        if let (Some(user), None) = (&broker.user, &broker.password) {
            let cause = format!("has a `user`, {user:?}, and no password for it");
            let fix = "add `password_file:`, or remove the user";
            self.incomplete(&redis.place, cause, fix);
        }
        let stream = redis.stream.map_or_else(|| DEFAULT_STREAM.to_owned(), |stream| stream.value);
        Redis {
            broker,
            database: self.database(path),
            stream,
            max_length: redis.max_length.map_or(Some(DEFAULT_LENGTH), |length| length.value.limit()),
            replicas: redis.replicas.and_then(|replicas| replicas.value.limit()).unwrap_or(0),
            event: redis.event.map(|event| event.value).unwrap_or_default(),
            limits,
        }
    }

    fn database(&mut self, path: Option<At<String>>) -> u32 {
        let Some(path) = path.filter(|path| !path.value.is_empty()) else { return 0 };
        path.value.parse().unwrap_or_else(|_| {
            let cause = "has something behind its slash that is no number of a database";
            self.problem(path.problem(cause, "write it like `redis://host:6379/2`, or without the slash"));
            0
        })
    }
}

const SCHEMES: Schemes = Schemes { clear: "redis", clear_port: 6379, tls: "rediss", tls_port: 6379 };
const DEFAULT_STREAM: &str = "mailslot";
const DEFAULT_LENGTH: u32 = 1_000_000;
const DEFAULT_IN_FLIGHT: usize = 256;
