"""How bytes move between processes: addresses, codecs, frames, pub/sub, requests."""
