//! The bytes of a file on the tests' hub: in memory, or on disk where a model has its real size.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Arc<[u8]>),
    Disk(PathBuf),
}

impl Content {
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Disk(path) => std::fs::metadata(path).expect("the file").len(),
        }
    }

    pub fn read_from(&self, start: u64) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Content::Bytes(bytes) => Box::new(Cursor::new(&bytes[start as usize..])),
            Content::Disk(path) => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(start))?;
                Box::new(file)
            }
        })
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_from(0).and_then(|mut body| body.read_to_end(&mut bytes)).expect("the file");
        bytes
    }

    pub fn with_a_changed_byte(&self) -> Content {
        let mut bytes = self.bytes();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes.into()
    }

    /// The hash, in lower-case hexadecimal.
    pub fn sha256(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        let mut body = self.read_from(0).expect("the file");
        let mut piece = vec![0; 1 << 20];
        loop {
            match body.read(&mut piece).expect("the file") {
                0 => break,
                n_read => hash.update(&piece[..n_read]),
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::Bytes(bytes.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        text.into_bytes().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        text.to_owned().into()
    }
}

impl From<&Path> for Content {
    fn from(path: &Path) -> Content {
        Content::Disk(path.to_owned())
    }
}
