"""SIP without I/O: messages, transactions, dialogs (RFC 3261).

uri.py          SipUri, NameAddr; parse_uri, parse_name_addr
headers.py      Headers: an ordered multi-map with canonical names
fields.py       Via, CSeq, MediaType; parse_via, parse_cseq, parse_media_type
message.py      Request, Response; decode, encode
build.py        make_request, make_response: messages of our own, outside and inside transactions
refusal.py      refuse: the 400 or 505 for a request that cannot be decoded
stream.py       StreamDecoder: whole messages out of a TCP stream
peer.py         Peer: where a message came from or goes to
outputs.py      what `Transactions` gives: Send, Incoming, Answered, Cancelled, Acked, Failed
machine.py      the states and timers of RFC 3261 §17 and RFC 6026, as tables
transaction.py  Transactions: runs that table; all requests and answers of a phone pass it
dialog.py       Dialog, DialogId: what two phones agreed to keep in mind
"""
