package order

// MaxRows is how many messages a Block can hold.
const MaxRows = 8192

// Block holds the keys of some messages in columns: about 60 octets for a message, and each text once. It is immutable and
// safe for concurrent use.
type Block struct {
	sent    []int64
	id      []uint64
	reply   []bool
	refsEnd []uint32 // of message i: refs[refsEnd[i-1]:refsEnd[i]]
	refs    []uint64
	text    [texts][]uint16 // places in ends
	ends    []uint32        // of text k: arena[ends[k-1]:ends[k]]; text 0 is empty
	arena   string
}

// NewBlock makes a Block of up to MaxRows messages; more panic.
func NewBlock(rows []Fields) *Block {
	if len(rows) > MaxRows {
		panic("order: too many rows for a block")
	}
	n := len(rows)
	b := &Block{
		sent: make([]int64, n), id: make([]uint64, n), reply: make([]bool, n), refsEnd: make([]uint32, n), ends: make([]uint32, 1),
	}
	var arena []byte
	known := map[string]uint16{"": 0}
	for col := range b.text {
		b.text[col] = make([]uint16, n)
		for i := range rows {
			s := rows[i].Text[col]
			k, ok := known[s]
			if !ok {
				k = uint16(len(b.ends))
				known[s] = k
				arena = append(arena, s...)
				b.ends = append(b.ends, uint32(len(arena)))
			}
			b.text[col][i] = k
		}
	}
	b.arena = string(arena)
	for i := range rows {
		b.sent[i], b.id[i], b.reply[i] = rows[i].Sent, rows[i].ID, rows[i].Reply
		b.refs = append(b.refs, rows[i].Refs...)
		b.refsEnd[i] = uint32(len(b.refs))
	}
	return b
}

// Len is the number of messages.
func (b *Block) Len() int { return len(b.sent) }

// Key returns the keys of message i.
func (b *Block) Key(i int) Key { return Key{b, int32(i)} }

// Bytes is about how much memory b takes.
func (b *Block) Bytes() int64 {
	return int64(256 + len(b.sent)*(8+8+1+4+2*int(texts)) + 8*cap(b.refs) + 4*cap(b.ends) + len(b.arena))
}

// Key is the keys of one message, in a Block. The zero Key is that of a message that cannot be read: all is empty.
type Key struct {
	b *Block
	i int32
}

// Text returns a key that is text.
func (k Key) Text(t Text) string {
	if k.b == nil {
		return ""
	}
	n := k.b.text[t][k.i]
	if n == 0 {
		return ""
	}
	return k.b.arena[k.b.ends[n-1]:k.b.ends[n]]
}

// Sent returns the Date field in seconds since the epoch, or NoDate.
func (k Key) Sent() int64 {
	if k.b == nil {
		return NoDate
	}
	return k.b.sent[k.i]
}

// Reply reports whether the subject is that of a reply or a forward.
func (k Key) Reply() bool { return k.b != nil && k.b.reply[k.i] }

// ID returns the hash of the message id, 0 if there is none.
func (k Key) ID() uint64 {
	if k.b == nil {
		return 0
	}
	return k.b.id[k.i]
}

// Refs returns the hashes of what the message refers to. They must not be changed.
func (k Key) Refs() []uint64 {
	if k.b == nil {
		return nil
	}
	from := uint32(0)
	if k.i > 0 {
		from = k.b.refsEnd[k.i-1]
	}
	return k.b.refs[from:k.b.refsEnd[k.i]]
}

// Fields returns all there is.
func (k Key) Fields() Fields {
	f := Fields{Sent: k.Sent(), Reply: k.Reply(), ID: k.ID(), Refs: k.Refs()}
	for t := range texts {
		f.Text[t] = k.Text(t)
	}
	return f
}

// Message is a message to be put in order: its keys and what a snapshot knows of it.
type Message struct {
	Key
	Received int64 // INTERNALDATE, in milliseconds since the epoch
	Size     int64
	Score    int // how well it answers an inexact search
}

// date is the sent date of RFC 5256 §2.2, in seconds: ties at the precision that clients see are ties.
func (m *Message) date() int64 {
	if s := m.Sent(); s != NoDate {
		return s
	}
	return m.arrival()
}

func (m *Message) arrival() int64 { return floorDiv(m.Received, 1000) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// orderly maps a number to one whose unsigned order is the same.
func orderly(n int64) uint64 { return uint64(n) ^ 1<<63 }
