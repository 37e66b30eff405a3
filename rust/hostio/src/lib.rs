//! dexmesh hostio.
