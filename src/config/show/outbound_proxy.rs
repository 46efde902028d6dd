//! `outbound_proxy` as the operator would write it.

use std::path::Path;

use serde::Serialize;

use super::super::settings::{OutboundProxy, ProxyException};
use super::queue::{file_of, variable_of};

#[derive(Serialize)]
pub(super) struct ShownProxy<'s> {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_env: Option<&'s str>,
    except: Vec<String>,
}

impl<'s> ShownProxy<'s> {
    pub(super) fn of(proxy: &'s OutboundProxy) -> Self {
        let password = proxy.login.as_ref().map(|login| &login.password);
        Self {
            url: format!("http://{}:{}", proxy.host, proxy.port),
            user: proxy.login.as_ref().map(|login| &*login.user),
            password_file: file_of(password),
            password_env: variable_of(password),
            except: proxy.except.iter().map(exception).collect(),
        }
    }
}

fn exception(exception: &ProxyException) -> String {
    match exception {
        ProxyException::Host(host) => host.clone(),
        ProxyException::Below(domain) => format!(".{domain}"),
        ProxyException::Network(network) => network.to_string(),
    }
}
