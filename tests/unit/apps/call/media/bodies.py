"""Session descriptions as other phones write them, for the tests of media/ and phone/.

Spec      docs/apps/sip.md §2: the offer of linphone 5.1.65 and that of baresip 1.0
"""

from __future__ import annotations

PEER = "fc22:2222:2222:2222:2222:2222:2222:2222"

LINPHONE_OFFER = b"""v=0
o=bob 3761 1273 IN IP6 ::1
s=Talk
c=IN IP6 ::1
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
a=record:off
m=audio 7078 RTP/AVP 96 97 98 0 8 18 101 99 100
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:97 speex/16000
a=fmtp:97 vbr=on
a=rtpmap:98 speex/8000
a=fmtp:98 vbr=on
a=fmtp:18 annexb=yes
a=rtpmap:101 telephone-event/48000
a=rtpmap:99 telephone-event/16000
a=rtpmap:100 telephone-event/8000
a=rtcp:7079
a=rtcp-fb:* trr-int 5000
a=rtcp-fb:* ccm tmmbr
m=video 9078 RTP/AVP 96
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 ack rpsi
""".replace(b"\n", b"\r\n")

BARESIP_OFFER = f"""v=0
o=- 2103458230 1034567 IN IP6 {PEER}
s=-
c=IN IP6 {PEER}
t=0 0
a=tool:baresip 1.0.0
m=audio 15036 RTP/AVP 0 8 9 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:15037
a=sendrecv
a=label:1
a=rtcp-rsize
a=ssrc:1187923 cname:sip:carol@[{PEER}]
a=ptime:20
""".encode().replace(b"\n", b"\r\n")


def offer_with(*lines: str, audio: str = "7078 RTP/AVP 0", connection: str = PEER) -> bytes:
    """A small offer: one m=audio line and these lines behind it."""
    head = [f"v=0\no=x 1 1 IN IP6 {PEER}", "s=-", f"c=IN IP6 {connection}", "t=0 0"]
    return "\n".join([*head, f"m=audio {audio}", *lines, ""]).encode()
