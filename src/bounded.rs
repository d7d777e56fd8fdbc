//! Reads what somebody names on the command line or in the settings. It may be anything: a device has no end.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::config::about;

/// Far more than any settings, certificates or keys take.
pub(crate) const SETTINGS_BYTES: u64 = 1 << 20;

/// All of a file that has at most `most` bytes.
pub(crate) fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read(File::open(path)?, most)
}

/// All there is, if that is at most `most` bytes.
pub(crate) fn read(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from = from.take(most);
    from.read_to_end(&mut bytes)?;
    if from.limit() == 0 && from.into_inner().read(&mut [0])? > 0 {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {}", about(most))));
    }
    Ok(bytes)
}

/// All of it, if it is text.
pub(crate) fn read_text(from: impl Read, most: u64) -> io::Result<String> {
    String::from_utf8(read(from, most)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused_and_what_just_fits_is_not() {
        assert_eq!(read(&[7; 5][..], 5).unwrap(), [7; 5]);
        assert_eq!(read(&[7; 6][..], 5).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let endless = read_file(Path::new("/dev/zero"), 1024).unwrap_err();
        assert_eq!(endless.to_string(), "it is larger than 1.0 KiB");
    }
}
