//! Who listens on a port, as Linux tells it under `/proc`. Processes of other users show nothing of their files.

use std::fs;
use std::path::Path;

/// A table of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Tcp,
    Udp,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: String,
    pub(super) name: String,
}

/// The processes that listen on `port`, as far as they can be seen.
pub(super) fn listeners(table: Table, port: u16) -> Vec<Process> {
    let files = match table {
        Table::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Table::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let texts = files.map(|file| fs::read_to_string(file).unwrap_or_default());
    let sockets: Vec<String> = texts.iter().flat_map(|text| inodes(text, table, port)).collect();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let holds = |pid: &String| has_one(&Path::new("/proc").join(pid).join("fd"), &sockets);
    let name = |pid: String| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Process { pid, name: name.trim().to_owned() }
    };
    if sockets.is_empty() { Vec::new() } else { processes.filter(is_number).filter(holds).map(name).collect() }
}

/// The numbers of the sockets in a table that listen on `port`, as links to them show it.
fn inodes(text: &str, table: Table, port: u16) -> Vec<String> {
    let listens = match table {
        Table::Tcp => "0A",
        Table::Udp => "07",
    };
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, found) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(found, 16).ok()? == port && *fields.get(3)? == listens;
        is_it.then(|| Some(format!("socket:[{}]", fields.get(9)?)))?
    };
    text.lines().filter_map(of_line).collect()
}

fn has_one(folder: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(folder) else { return false };
    let is_one = |target: &Path| sockets.iter().any(|socket| target.as_os_str() == socket.as_str());
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|target| is_one(&target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_of_a_port_are_found_in_the_kernel_s_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 1 0 100 0 0 10 0\n   \
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  0  0 4712 1 0 100 0 0 10 0\n   \
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4713 1 0 100 0 0 10 0\n";
        assert_eq!(inodes(table, Table::Tcp, 8080), ["socket:[4711]"]);
        assert_eq!(inodes(table, Table::Udp, 8080), [""; 0]);
        assert_eq!(inodes("nonsense\n\n: :", Table::Tcp, 8080), [""; 0]);
    }

    #[test]
    fn this_process_is_found_at_its_own_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listeners(Table::Tcp, listener.local_addr().unwrap().port());
        assert!(found.iter().any(|process| process.pid == std::process::id().to_string()), "{found:?}");
    }
}
