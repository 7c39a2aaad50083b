//! Short names between a program's WebAssembly and its JavaScript.
//!
//! wasm-bindgen calls each import by what it does and a hash, 273 of them in the page. Nobody but the two files reads these
//! names, and hashes do not compress: without them the three programs are 21 kB smaller, gzipped.
//!
//! Invariant: a name is replaced in both files or in neither; whatever looks otherwise than expected is an error.

use crate::process::Result;
use std::collections::{BTreeMap, BTreeSet};

/// The section that names what a module wants from JavaScript.
const IMPORTS: u8 = 2;
/// Magic number and version.
const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// Both files with short names for what the WebAssembly imports.
pub fn names(wasm: &[u8], js: &str) -> Result<(Vec<u8>, String)> {
    let mut rest = wasm.strip_prefix(HEADER).ok_or("no WebAssembly of version 1")?;
    let mut out = HEADER.to_vec();
    let mut short = BTreeMap::new();
    while let Some((&id, after)) = rest.split_first() {
        let mut cursor = Cursor(after);
        let length = cursor.number()?;
        let section = cursor.take(length as usize)?;
        rest = cursor.0;
        let section = if id == IMPORTS { imports(section, &mut short)? } else { section.to_vec() };
        out.push(id);
        write_number(&mut out, section.len() as u32);
        out.extend(section);
    }
    Ok((out, replaced(js, &short)?))
}

/// The section with short names, which `short` then holds by their long ones.
fn imports(section: &[u8], short: &mut BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut cursor = Cursor(section);
    let n_imports = cursor.number()?;
    let mut out = Vec::new();
    write_number(&mut out, n_imports);
    for _ in 0..n_imports {
        let module = cursor.name()?;
        let name = cursor.name()?;
        let before = cursor.0;
        match cursor.take(1)?[0] {
            // A function, with its type: all that wasm-bindgen imports.
            0 => drop(cursor.number()?),
            kind => return Err(format!("{name} is an import of kind {kind}, not a function")),
        }
        let next = format!("i{}", short.len());
        let name = short.entry(name.to_owned()).or_insert(next);
        write_name(&mut out, module);
        write_name(&mut out, name);
        out.extend(&before[..before.len() - cursor.0.len()]);
    }
    if cursor.0.is_empty() { Ok(out) } else { Err(format!("{} bytes after the imports", cursor.0.len())) }
}

/// The text with every whole word that has a short name replaced by it.
fn replaced(js: &str, short: &BTreeMap<String, String>) -> Result<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let (mut out, mut rest) = (String::with_capacity(js.len()), js);
    let mut found = BTreeSet::new();
    while !rest.is_empty() {
        let n_between = rest.find(is_word).unwrap_or(rest.len());
        let (between, after) = rest.split_at(n_between);
        let n_word = after.find(|c| !is_word(c)).unwrap_or(after.len());
        let (word, after) = after.split_at(n_word);
        out += between;
        out += short.get(word).inspect(|_| _ = found.insert(word)).map_or(word, String::as_str);
        rest = after;
    }
    match short.keys().find(|name| !found.contains(name.as_str())) {
        Some(name) => Err(format!("the JavaScript does not name {name}, which the WebAssembly imports")),
        None => Ok(out),
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n_bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n_bytes).ok_or("the WebAssembly ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned LEB128 of 32 bits.
    fn number(&mut self) -> Result<u32> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number).map_err(|_| "a number over 32 bits".to_owned());
            }
        }
        Err("a number without an end".to_owned())
    }

    fn name(&mut self) -> Result<&'a str> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length as usize)?).map_err(|error| error.to_string())
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    write_number(out, name.len() as u32);
    out.extend(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with these imports of kind `kind`, and a section behind them.
    fn module(names: &[&str], kind: u8) -> Vec<u8> {
        let mut section = Vec::new();
        write_number(&mut section, names.len() as u32);
        for name in names {
            write_name(&mut section, "./x.js");
            write_name(&mut section, name);
            section.extend([kind, 0x85, 0x01]); // type 133, two bytes long
        }
        let mut wasm = HEADER.to_vec();
        wasm.push(IMPORTS);
        write_number(&mut wasm, section.len() as u32);
        wasm.extend(section);
        wasm.extend([0, 2, b'h', b'i']);
        wasm
    }

    #[test]
    fn both_files_get_the_same_short_names() {
        let long = "__wbg_a_0123456789abcdef";
        let longer = "__wbg_a_0123456789abcdef2";
        let js = format!("({{{longer}:(a=>a),{long}:b,keep_{long}:c}}).{long}");
        let (wasm, js) = names(&module(&[long, longer], 0), &js).unwrap();
        assert_eq!(wasm, module(&["i0", "i1"], 0));
        assert_eq!(js, format!("({{i1:(a=>a),i0:b,keep_{long}:c}}).i0"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let fits = module(&["f"], 0);
        assert!(names(&fits, "f").is_ok());
        assert!(names(&fits, "g").unwrap_err().contains("does not name f"));
        assert!(names(&module(&["memory"], 2), "memory").unwrap_err().contains("kind 2"));
        for n_bytes in 0..fits.len() {
            // What ends between two sections is a module, too.
            assert!(
                names(&fits[..n_bytes], "f").is_err() || [8, fits.len() - 4].contains(&n_bytes),
                "{n_bytes}"
            );
        }
        assert!(names(b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\xff\x01", "").is_err());
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number);
            assert_eq!(Cursor(&bytes).number(), Ok(number));
        }
    }
}
