//! The configuration file: what is read of it can be written down and says the same; what is wrong is said.

use std::io::Write;
use std::path::{Path, PathBuf};

use chappe::config::{Config, Inputs, SETTINGS, load};

pub(crate) fn run(bytes: &[u8]) {
    match read(bytes) {
        Ok(config) => {
            let text = written(&config);
            let again = read(text.as_bytes()).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
            assert_eq!(again, config, "written down it says the same:\n{text}");
        }
        Err(problem) => assert!(!problem.trim().is_empty(), "what is wrong is said"),
    }
}

/// Reads a file of these bytes.
fn read(bytes: &[u8]) -> Result<Config, String> {
    let file = in_a_file(bytes).map_err(|error| error.to_string())?;
    let inputs = Inputs { file: Some(file.path().to_owned()), ..Inputs::default() };
    load(inputs).map(|loaded| loaded.config).map_err(|error| error.to_string())
}

fn in_a_file(bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// As `chappe config` prints it.
fn written(config: &Config) -> String {
    let (mut text, mut current) = (String::new(), "");
    for setting in SETTINGS {
        let (table, key) = setting.table_and_key();
        if table != current {
            current = table;
            text += &format!("\n[{table}]\n");
        }
        text += &format!("{key} = {}\n", setting.show(config));
    }
    text
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../chappe.example.toml");
    let example = std::fs::read(example).unwrap_or_default();
    let mut seeds: Vec<Vec<u8>> = [
        "",
        "log = \"debug\"\n[limits]\nframe_bytes = \"64 KiB\"\nuser_rate = \"10/s burst 20\"\n",
        "heartbeat = \"10s\"\n[cache]\nbytes = 1048576\nmessages_per_chat = 7\n",
        "[http_server]\nallowed_origins = [\"https://chat.example.com\"]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nworkers = \"auto\"\n",
        "[auth]\nmode = \"token\"\nsecret_files = [\"a\", \"b\"]\naudience = \"x\"\n",
        "udp = \"off\"\ntcp = \"127.0.0.1:0\"\n",
        "limits = 7\n[limit]\nframe_byte = 1\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    seeds.push(written(&Config::default()).into_bytes());
    seeds.push(example);
    seeds
}
