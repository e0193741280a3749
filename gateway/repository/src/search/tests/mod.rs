//! Search at the repository: against brute force, and while others write.
