//! Clients and partners as our users would write them: an EMR, an analyzer, a national server. Each
//! has its own small models, shares no code with the gateway and knows it by its wire alone.

pub mod analyzer;
pub mod day;
pub mod emr;
pub mod national;
pub mod patients;
pub mod wayside;
pub mod web;
