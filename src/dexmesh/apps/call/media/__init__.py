"""Media without I/O: SDP, RTP, RTCP, jitter buffer, statistics."""
