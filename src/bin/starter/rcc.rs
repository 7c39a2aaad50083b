//! Reads Qt's resource files (`.rcc`), in which GCompris keeps its pictures.
//!
//! Invariant: only entries that are stored as they are; pictures are compressed by themselves.

use super::Result;
use std::collections::BTreeMap;

const IS_FOLDER: u32 = 2;

/// The uncompressed files, by path.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    if !bytes.starts_with(b"qres") {
        return Err("this is no Qt resource file".into());
    }
    let file = File(bytes);
    let mut files = BTreeMap::new();
    file.walk(0, String::new(), &mut files)?;
    Ok(files)
}

struct File<'a>(&'a [u8]);

impl File<'_> {
    /// A big-endian number.
    fn number(&self, offset: usize, n_bytes: usize) -> Result<usize> {
        let bytes = self.0.get(offset..offset + n_bytes).ok_or("the resource file is cut short")?;
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// An entry: name's offset, flags, then a folder's count and first child or a file's place.
    fn walk(&self, entry: usize, path: String, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
        let (version, tree) = (self.number(4, 4)?, self.number(8, 4)?);
        let (data, names) = (self.number(12, 4)?, self.number(16, 4)?);
        let start = tree + entry * if version < 2 { 14 } else { 22 };
        let flags = self.number(start + 4, 2)? as u32;
        if flags & IS_FOLDER != 0 {
            let (count, first) = (self.number(start + 6, 4)?, self.number(start + 10, 4)?);
            for child in first..first + count {
                let name = names + self.number(tree + child * if version < 2 { 14 } else { 22 }, 4)?;
                let n_chars = self.number(name, 2)?;
                let chars = (0..n_chars).map(|i| Ok(self.number(name + 6 + 2 * i, 2)? as u16));
                let name = String::from_utf16_lossy(&chars.collect::<Result<Vec<u16>>>()?);
                self.walk(child, format!("{path}/{name}"), files)?;
            }
        } else if flags == 0 {
            let place = data + self.number(start + 10, 4)?;
            let n_bytes = self.number(place, 4)?;
            let bytes = self.0.get(place + 4..place + 4 + n_bytes).ok_or("the resource file is cut short")?;
            files.insert(path, bytes.to_vec());
        }
        Ok(())
    }
}
