//! The settings of TLS; rows of the one table in `settings`.

use std::path::{Path, PathBuf};

use crate::config::settings::{Setting, quoted};
use crate::config::takes::Takes;
use crate::config::value::{Misfit, Value};

pub(super) const CERT_FILE: Setting = Setting {
    name: "tls.cert_file",
    takes: Takes::FileOrOff,
    about: "The server's certificate and those between it and the root, PEM. With it HTTP is HTTPS, and TCP takes TLS.",
    has_flag: false,
    reload: true,
    set: |config, value, _| file_or_off(value).map(|file| config.tls.cert_file = file),
    show: |config| shown_file(config.tls.cert_file.as_deref()),
};

pub(super) const KEY_FILE: Setting = Setting {
    name: "tls.key_file",
    takes: Takes::FileOrOff,
    about: "The key of `tls.cert_file`, PEM.",
    has_flag: false,
    reload: true,
    set: |config, value, _| file_or_off(value).map(|file| config.tls.key_file = file),
    show: |config| shown_file(config.tls.key_file.as_deref()),
};

pub(super) const CLIENT_CA_FILE: Setting = Setting {
    name: "tls.client_ca_file",
    takes: Takes::FileOrOff,
    about: "Roots, PEM: TCP over TLS then asks for a client certificate, and refuses who has none of theirs.",
    has_flag: false,
    reload: true,
    set: |config, value, _| file_or_off(value).map(|file| config.tls.client_ca_file = file),
    show: |config| shown_file(config.tls.client_ca_file.as_deref()),
};

pub(super) const SELF_SIGNED: Setting = Setting {
    name: "tls.self_signed",
    takes: Takes::Switch,
    about: "TLS with a certificate of the server's own, for trying: made at the first start, kept in the data folder.",
    has_flag: true,
    reload: false,
    set: |config, value, _| value.switch().map(|on| config.tls.self_signed = on),
    show: |config| config.tls.self_signed.to_string(),
};

fn file_or_off(value: &Value) -> Result<Option<PathBuf>, Misfit> {
    match value.text()? {
        "" => Err(Misfit::default()),
        "off" => Ok(None),
        path => Ok(Some(path.into())),
    }
}

fn shown_file(file: Option<&Path>) -> String {
    quoted(&file.map_or_else(|| "off".into(), Path::to_string_lossy))
}
