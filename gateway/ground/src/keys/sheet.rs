//! What is printed and put into a sealed envelope: the recovery sheet, and its shares.

use crate::clock::format_instant;
use vault::recovery;
use zeroize::Zeroizing;

/// The sheet of one recovery key. It holds the key: never log it.
pub fn sheet_text(store: &str, made_ms: i64, secret: &[u8; 32]) -> Zeroizing<String> {
    let key = recovery::key_text(secret);
    let made = format_instant(made_ms);
    Zeroizing::new(format!(
        "WAYSIDE RECOVERY SHEET\n\
         Store {store}, key made {made}\n\
         \n\
         1. Print this page, or copy the key by hand and compare it twice.\n\
         2. Put it into a sealed envelope, in another building than the box.\n\
         3. Delete this file from the box.\n\
         \n\
         It opens the store when the key file or the passphrase is lost. Whoever reads it\n\
         can read every patient: treat it like the store itself.\n\
         \n\
         Recovery key:\n\
         \n\
         {key}\n\
         \n\
         The key file or passphrase is lost:   wayside keys recover\n\
         This sheet was seen by a stranger:    wayside keys sheet, then wayside keys remove\n",
        key = key.as_str()
    ))
}

/// One share of a recovery key, for one of its keepers.
pub fn share_text(
    store: &str,
    (number, needed, of): (usize, u8, u8),
    share: &str,
) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "WAYSIDE RECOVERY SHARE {number} OF {of}\n\
         Store {store}. Any {needed} of the {of} shares open it; fewer tell nothing.\n\
         Keep this one where no other share is.\n\
         \n\
         {share}\n\
         \n\
         The key file or passphrase is lost:   wayside keys recover\n"
    ))
}
