//! How bodies become short before they are sealed: made lean, then packed with zstd and a dictionary
//! that knows how FHIR looks. A number before each body says how it was packed, and no dictionary
//! ever changes, so that every body stays readable.
//!
//! Measured on Synthea's bundles, half of them used for training and half packed, on average 1,460
//! bytes: zstd alone 694, one dictionary of 110 kB 289; lean text with it 191, with one of 64 kB 190,
//! four of 16 kB by families of types 202, one of 8 kB for each type 219. Level 1 makes 203 of it in
//! 7.2 us, level 3 190 in 7.8 us, level 6 182 in 20 us. Those dictionaries knew names and the like; the one
//! that is given out, made of redacted text, comes to 223 (`generate.py --held-out`).

mod dictionaries;
mod lean;

pub(crate) use lean::{Id, Known, parse_id, put_id};

use dictionaries::Dictionary;
use lean::Lean;
use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// The body as it is.
pub(crate) const AS_IS: u8 = 0;
/// A frame of zstd.
pub(crate) const ZSTD: u8 = 1;
/// Lean, packed with the dictionary of the number above this.
const LEAN: u8 = 0x10;
/// The largest body that is accepted, and ever unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 128 << 20;

/// Shorter bodies do not shrink enough to pay for packing and unpacking.
const PACK_BYTES_MIN: usize = 192;
/// The same with a dictionary.
const LEAN_BYTES_MIN: usize = 24;
const ZSTD_LEVEL: i32 = 1;
/// Every frame starts with these; they are left out.
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// The space kept between bodies; a rare larger one is given back.
const SPACE_BYTES_KEPT: usize = 1 << 20;

/// Puts the body behind `out`; how it was packed.
pub(crate) fn pack(database: &str, (body, known): (&[u8], &Known<'_>), out: &mut Vec<u8>) -> u8 {
    let packed = match dictionaries::newest_of(database) {
        Some(numbered) => pack_lean(numbered, (body, known), out),
        None => pack_plain(body, out),
    };
    packed.unwrap_or_else(|| {
        out.extend_from_slice(body);
        AS_IS
    })
}

/// The body that was packed in this way; `None` when it does not unpack.
pub(crate) fn unpack(form: u8, packed: &[u8], known: &Known<'_>) -> Option<Vec<u8>> {
    match form {
        AS_IS => Some(packed.to_vec()),
        ZSTD => UNPACKER.with_borrow_mut(|unpacker| {
            if unpacker.is_none() {
                *unpacker = Decompressor::new().ok();
            }
            unpacker.as_mut()?.decompress(packed, BODY_BYTES_MAX).ok()
        }),
        _ => unpack_lean(form.checked_sub(LEAN)?, packed, known),
    }
}

fn pack_plain(body: &[u8], out: &mut Vec<u8>) -> Option<u8> {
    if body.len() < PACK_BYTES_MIN {
        return None;
    }
    let start = out.len();
    PACKER.with_borrow_mut(|packer| {
        if packer.is_none() {
            *packer = Compressor::new(ZSTD_LEVEL).ok();
        }
        let mut packed = fresh(zstd_safe::compress_bound(body.len()));
        packer
            .as_mut()?
            .compress_to_buffer(body, &mut packed)
            .ok()?;
        keep(&packed, (start, body.len()), out).then_some(ZSTD)
    })
}

fn fresh(room: usize) -> Vec<u8> {
    Vec::with_capacity(room)
}

/// Puts `packed` behind `out` if all behind `start` is shorter than the body then.
fn keep(packed: &[u8], (start, length): (usize, usize), out: &mut Vec<u8>) -> bool {
    let shorter = out.len() - start + packed.len() < length;
    if shorter {
        out.extend_from_slice(packed);
    } else {
        out.truncate(start);
    }
    shorter
}

fn pack_lean(
    (number, dictionary): (u8, &'static Dictionary),
    (body, known): (&[u8], &Known<'_>),
    out: &mut Vec<u8>,
) -> Option<u8> {
    if body.len() < LEAN_BYTES_MIN {
        return None;
    }
    let Lean { ids, text } = lean::lean(body, known);
    LEAN_PACKER.with_borrow_mut(|packer| {
        let packed = packer.pack(&text, dictionary)?;
        let start = out.len();
        lean::put_number(out, ids.len());
        out.extend_from_slice(ids.as_flattened());
        keep(packed, (start, body.len()), out).then_some(LEAN + number)
    })
}

fn unpack_lean(number: u8, packed: &[u8], known: &Known<'_>) -> Option<Vec<u8>> {
    let dictionary = dictionaries::of_number(number)?;
    let (count, rest) = lean::number(packed)?;
    let (ids, frame) = rest.split_at_checked(count.checked_mul(size_of::<Id>())?)?;
    let ids = ids.as_chunks().0.to_vec();
    let text = LEAN_UNPACKER.with_borrow_mut(|unpacker| unpacker.unpack(frame, dictionary))?;
    lean::full(&Lean { ids, text }, known, BODY_BYTES_MAX)
}

thread_local! {
    /// Making a context costs more than packing a body, so each thread keeps its own.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    static LEAN_PACKER: RefCell<LeanPacker> = const { RefCell::new(LeanPacker { context: None, space: Vec::new() }) };
    static LEAN_UNPACKER: RefCell<LeanUnpacker> = const { RefCell::new(LeanUnpacker { context: None, frame: Vec::new() }) };
}

struct LeanPacker {
    context: Option<CCtx<'static>>,
    space: Vec<u8>,
}

impl LeanPacker {
    /// A frame without its first bytes.
    fn pack(&mut self, text: &[u8], dictionary: &'static Dictionary) -> Option<&[u8]> {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => context()?,
        };
        context.ref_cdict(dictionary.packing()?).ok()?;
        if self.space.capacity() > SPACE_BYTES_KEPT {
            self.space = Vec::new();
        }
        self.space.clear();
        self.space.reserve(zstd_safe::compress_bound(text.len()));
        let packed = context.compress2(&mut self.space, text);
        self.context = Some(context);
        packed.ok()?;
        self.space.strip_prefix(&MAGIC)
    }
}

fn context() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::DictIdFlag(false)).ok()?;
    context
        .set_parameter(CParameter::ContentSizeFlag(true))
        .ok()?;
    Some(context)
}

struct LeanUnpacker {
    context: Option<DCtx<'static>>,
    frame: Vec<u8>,
}

impl LeanUnpacker {
    fn unpack(&mut self, rest: &[u8], dictionary: &'static Dictionary) -> Option<Vec<u8>> {
        if self.context.is_none() {
            self.context = DCtx::try_create();
        }
        if self.frame.capacity() > SPACE_BYTES_KEPT {
            self.frame = Vec::new();
        }
        self.frame.clear();
        self.frame.extend_from_slice(&MAGIC);
        self.frame.extend_from_slice(rest);
        let length = zstd_safe::get_frame_content_size(&self.frame).ok()??;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= 2 * BODY_BYTES_MAX)?;
        let mut text = Vec::with_capacity(length);
        let unpacking = dictionary.unpacking()?;
        let context = self.context.as_mut()?;
        context
            .decompress_using_ddict(&mut text, &self.frame, unpacking)
            .ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests;
