//! The flags that set settings. Their values go to [`crate::config`] as they are: it checks them like any other.

use std::path::PathBuf;

use crate::config::{self, ConfigError, Inputs, Loaded};

/// The settings that have a flag. The variables are named for the reader; `config` reads them.
#[derive(Debug, Default, Clone, clap::Args)]
pub(super) struct SettingFlags {
    /// Where everything is kept [default: ./chappe-data] [env: CHAPPE_DATA]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<String>,
    /// Where HTTP and WebSocket listen; port 0 picks a free one [default: 127.0.0.1:8080] [env: CHAPPE_HTTP]
    #[arg(long, value_name = "ADDR")]
    pub(super) http: Option<String>,
    /// Where TCP listens, or off [default: 127.0.0.1:8081] [env: CHAPPE_TCP]
    #[arg(long, value_name = "ADDR|off")]
    pub(super) tcp: Option<String>,
    /// Where UDP listens, or off [default: 127.0.0.1:8082] [env: CHAPPE_UDP]
    #[arg(long, value_name = "ADDR|off")]
    pub(super) udp: Option<String>,
    /// What to log: error, warn, info, debug, trace, off; also per module [default: info] [env: CHAPPE_LOG]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log: Option<String>,
    /// Let other machines in, although anyone is believed who they say they are [env: CHAPPE_INSECURE_OPEN]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) insecure_open: Option<String>,
    /// TLS with a certificate of the server's own, for trying [env: CHAPPE_TLS_SELF_SIGNED]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) tls_self_signed: Option<String>,
    /// Whom to believe: everybody, or who shows a token [default: open] [env: CHAPPE_AUTH_MODE]
    #[arg(long, value_name = "open|token")]
    pub(super) auth: Option<String>,
    /// The configuration file, TOML; none is read unless named [env: CHAPPE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl SettingFlags {
    /// Puts the configuration together.
    pub(super) fn load(&self) -> Result<Loaded, ConfigError> {
        let flags = [
            ("data", &self.data),
            ("http", &self.http),
            ("tcp", &self.tcp),
            ("udp", &self.udp),
            ("log", &self.log),
            ("insecure_open", &self.insecure_open),
            ("tls.self_signed", &self.tls_self_signed),
            ("auth.mode", &self.auth),
        ];
        config::load(Inputs {
            file: self.config.clone(),
            flags: flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
            variables: std::env::vars_os().collect(),
            other_variables: super::variables_of_flags(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn the_flags_are_those_of_the_settings() {
        let command = SettingFlags::augment_args(Command::new("test"));
        let mut flags: Vec<String> =
            command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        flags.retain(|flag| flag != "--config");
        let expected: Vec<String> = SETTINGS.iter().filter_map(|setting| setting.flag()).collect();
        assert_eq!(flags, expected);
    }

    #[test]
    fn the_help_names_the_variable_of_every_flag() {
        let command = SettingFlags::augment_args(Command::new("test"));
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let flag = arg.get_long().map(|long| format!("--{long}"));
            let setting = SETTINGS.iter().find(|setting| setting.flag() == flag);
            let env = setting.map_or_else(|| "CHAPPE_CONFIG".to_owned(), |setting| setting.env());
            assert!(help.contains(&format!("[env: {env}]")), "{help}");
        }
    }
}
