//! The payload's image, made at run time: one layer with this program, its ELF interpreter and the libraries that it has mapped, as a tar
//! that the engine's import takes. No pull and no second toolchain; a program that was linked statically has neither of the two.
//!
//! Follows the System V ABI (ELF-64: program header, dynamic section) and POSIX' ustar. Libraries lie in `/lib` under the names by which
//! they are asked for (DT_SONAME), and `LD_LIBRARY_PATH` says so; the interpreter lies where the program asks for it (PT_INTERP). Left out:
//! ELF-32, libraries that are opened later (dlopen).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Where the program lies in the image.
pub const PROGRAM: &str = "/sim";
/// Where its libraries lie.
pub const LIBRARIES: &str = "/lib";

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
/// A block of a tar; files are filled up to whole ones, and two empty ones end it.
const BLOCK: usize = 512;

/// A tar of the root folder that `program` needs: by the files that `maps` (the text of `/proc/self/maps` of a process that runs it) names.
pub fn rootfs(program: &Path, maps: &str) -> io::Result<Vec<u8>> {
    let binary = std::fs::read(program)?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    if let Some(interpreter) = Elf::of(&binary).and_then(|elf| elf.interpreter()) {
        files.insert(interpreter.clone(), std::fs::read(&interpreter)?);
    }
    for path in mapped(maps) {
        let bytes = std::fs::read(path)?;
        // The program itself has no such name, and what is no library has none either.
        if let Some(name) = Elf::of(&bytes).and_then(|elf| elf.soname()) {
            files.insert(format!("{LIBRARIES}/{name}"), bytes);
        }
    }
    files.insert(PROGRAM.to_owned(), binary);
    Ok(tar(&files))
}

/// The files of a process' maps, each once.
fn mapped(maps: &str) -> Vec<&str> {
    let mut paths: Vec<&str> = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    paths.retain(|path| path.contains(".so") && !path.ends_with(" (deleted)"));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// A tar (ustar) of files by absolute path, all of them executable, with the folders that they lie in.
fn tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut folders: Vec<&str> = Vec::new();
    for path in files.keys() {
        folders.extend(path.match_indices('/').map(|(at, _)| &path[..at]).filter(|folder| !folder.is_empty()));
    }
    folders.sort_unstable();
    folders.dedup();
    let mut whole = Vec::new();
    for folder in folders {
        whole.extend(header(&format!("{folder}/"), 0, b'5'));
    }
    for (path, bytes) in files {
        whole.extend(header(path, bytes.len(), b'0'));
        whole.extend(bytes);
        whole.resize(whole.len().next_multiple_of(BLOCK), 0);
    }
    whole.resize(whole.len() + 2 * BLOCK, 0);
    whole
}

fn header(path: &str, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let name = path.trim_start_matches('/').as_bytes();
    put(0, &name[..name.len().min(100)]);
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    // One time for all, so that equal files are equal layers.
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    // The sum counts its own eight bytes as blanks.
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An ELF-64 file of this machine's byte order.
struct Elf<'a> {
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    fn of(bytes: &'a [u8]) -> Option<Elf<'a>> {
        // Class 2: 64 bits; data 1: little endian.
        bytes.starts_with(b"\x7fELF\x02\x01").then_some(Elf { bytes })
    }
    fn number(&self, at: u64, length: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let mut eight = [0; 8];
        eight[..length].copy_from_slice(self.bytes.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(eight))
    }
    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    }
    /// Program headers: (type, offset, address, size in the file).
    fn segments(&self) -> impl Iterator<Item = (u32, u64, u64, u64)> {
        let head = || Some((self.number(32, 8)?, self.number(54, 2)?, self.number(56, 2)?));
        let (start, size, count) = head().unwrap_or_default();
        (0..count).filter_map(move |nth| {
            let at = start.checked_add(nth * size)?;
            Some((self.number(at, 4)? as u32, self.number(at + 8, 8)?, self.number(at + 16, 8)?, self.number(at + 32, 8)?))
        })
    }
    fn interpreter(&self) -> Option<String> {
        let (_, offset, ..) = self.segments().find(|(kind, ..)| *kind == PT_INTERP)?;
        self.text(offset)
    }
    fn soname(&self) -> Option<String> {
        let (_, offset, _, size) = self.segments().find(|(kind, ..)| *kind == PT_DYNAMIC)?;
        let entry = |tag: u64| {
            let found = (0..size / 16).find(|nth| self.number(offset + nth * 16, 8) == Some(tag))?;
            self.number(offset + found * 16 + 8, 8)
        };
        let (strings, name) = (entry(DT_STRTAB)?, entry(DT_SONAME)?);
        let holds = |(kind, _, address, size): &(u32, u64, u64, u64)| *kind == PT_LOAD && (*address..address + size).contains(&strings);
        let (_, offset, address, _) = self.segments().find(holds)?;
        self.text(strings - address + offset + name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_a_program_has_its_interpreter_and_the_libraries_that_it_has_mapped() {
        // The test program is one like any other.
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a Linux");
        let whole = rootfs(Path::new("/proc/self/exe"), &maps).expect("an image");
        let mut names = Vec::new();
        let mut at = 0;
        while whole[at] != 0 {
            let text = |from: usize, length: usize| {
                String::from_utf8_lossy(&whole[at + from..at + from + length]).trim_end_matches(['\0', ' ']).to_owned()
            };
            let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 12), 8).expect("a size"));
            let sum: u32 = whole[at..at + BLOCK]
                .iter()
                .enumerate()
                .map(|(nth, byte)| if (148..156).contains(&nth) { 32 } else { u32::from(*byte) })
                .sum();
            assert_eq!(u32::from_str_radix(&text(148, 8), 8).expect("a sum"), sum, "{name}");
            names.push(name);
            at += BLOCK + size.next_multiple_of(BLOCK);
        }
        assert_eq!(at + 2 * BLOCK, whole.len(), "two empty blocks end it");
        assert!(names.contains(&"sim".to_owned()), "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("lib/libc.so")), "{names:?}");
        assert!(names.iter().any(|name| name.contains("/ld-linux")), "{names:?}");
        assert!(names.contains(&"lib/".to_owned()), "a folder stands before what lies in it: {names:?}");
    }

    #[test]
    fn what_is_no_program_has_no_interpreter_and_no_name() {
        assert!(Elf::of(b"#!/bin/sh\n").is_none());
        let cut = Elf { bytes: b"\x7fELF\x02\x01\0\0" };
        assert_eq!((cut.interpreter(), cut.soname()), (None, None));
        assert_eq!(
            mapped("7f0-7f1 r-xp 0 08:01 5   /lib/a.so.1\n7f1-7f2 rw-p 0 08:01 5   /lib/a.so.1\n7f3-7f4 rw-p 0 0 0 [heap]\n"),
            ["/lib/a.so.1"]
        );
    }
}
