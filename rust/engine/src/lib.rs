//! dexmesh engine.
