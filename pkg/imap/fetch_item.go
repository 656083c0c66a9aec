package imap

import (
	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// item is one data item of a FETCH response (RFC 3501 §7.4.2). It is a *simpleItem or an opener.
type item interface {
	needs() store.Fields
}

// fetchWriter is what simple items write themselves to, names included.
type fetchWriter struct {
	*wire.Encoder
	flags *flagTexts
}

// fetchItems are the data items a client may ask for, by name (RFC 3501 §6.4.5, RFC 3516 §4.2, RFC 7162 §3.1.5).
var fetchItems = map[string]func(*wire.Decoder) item{
	"FLAGS":         plain(flagsItem),
	"UID":           plain(uidItem),
	"MODSEQ":        of(imap.CapCondStore, plain(modSeqItem)),
	"INTERNALDATE":  plain(internalDateItem),
	"RFC822.SIZE":   plain(sizeItem),
	"EMAILID":       of(imap.CapObjectID, plain(emailIDItem)),
	"THREADID":      of(imap.CapObjectID, plain(threadIDItem)),
	"SAVEDATE":      of(imap.CapSaveDate, plain(saveDateItem)),
	"PREVIEW":       of(imap.CapPreview, parsePreview),
	"ENVELOPE":      plain(envelopeItem),
	"BODYSTRUCTURE": plain(bodyStructureItem),
	"BODY":          parseBody,
	"BODY.PEEK":     parseBodyPeek,
	"RFC822":        of(capObsolete, plain(rfc822Item)),
	"RFC822.HEADER": of(capObsolete, plain(rfc822HeaderItem)),
	"RFC822.TEXT":   of(capObsolete, plain(rfc822TextItem)),
	"BINARY":        of(imap.CapBinary, parseBinary),
	"BINARY.PEEK":   of(imap.CapBinary, parseBinaryPeek),
	"BINARY.SIZE":   of(imap.CapBinary, parseBinarySize),
}

// fetchMacros stand for several items; they cannot be combined with others (RFC 3501 §6.4.5).
var fetchMacros = map[string][]item{
	"ALL":  {flagsItem, internalDateItem, sizeItem, envelopeItem},
	"FAST": {flagsItem, internalDateItem, sizeItem},
	"FULL": {flagsItem, internalDateItem, sizeItem, envelopeItem, bodyItem},
}

var (
	flagsItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("FLAGS ").Atom(w.flags.text(m.UID, m.Flags))
	}}
	uidItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("UID ").Number(uint32(m.UID))
	}}
	modSeqItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("MODSEQ (").Number64(int64(m.ModSeq)).Byte(')')
	}}
	internalDateItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("INTERNALDATE ").DateTime(m.Received)
	}}
	sizeItem = &simpleItem{put: func(w *fetchWriter, m *store.Message) {
		w.Atom("RFC822.SIZE ").Number64(m.Size)
	}}
	envelopeItem = &simpleItem{name: "ENVELOPE", want: store.WithPart, put: func(w *fetchWriter, m *store.Message) {
		w.Atom("ENVELOPE ")
		writeEnvelope(w.Encoder, m.Part.Envelope)
	}}
	bodyItem = &simpleItem{name: "BODY", want: store.WithPart, put: func(w *fetchWriter, m *store.Message) {
		w.Atom("BODY ")
		writeBodyStructure(w.Encoder, m.Part, false)
	}}
	bodyStructureItem = &simpleItem{name: "BODYSTRUCTURE", want: store.WithPart, put: func(w *fetchWriter, m *store.Message) {
		w.Atom("BODYSTRUCTURE ")
		writeBodyStructure(w.Encoder, m.Part, true)
	}}
)

// simpleItem is an item without arguments that cannot fail.
type simpleItem struct {
	name string // of one that reads
	want store.Fields
	put  func(*fetchWriter, *store.Message)
}

func (it *simpleItem) needs() store.Fields { return it.want }

// plain is the parser of an item without arguments.
func plain(it item) func(*wire.Decoder) item {
	return func(*wire.Decoder) item { return it }
}

// flagTexts spells out flags for the wire. The messages of a mailbox have few different sets of flags, so each is spelled
// once and FETCH 1:* (FLAGS) makes no garbage.
type flagTexts struct {
	keywords []imap.Flag
	recent   imap.UIDSet
	texts    map[flagKey]string
}

type flagKey struct {
	flags  store.FlagSet
	recent bool
}

// maxFlagTexts bounds the texts kept.
const maxFlagTexts = 1024

func newFlagTexts(keywords []imap.Flag, recent imap.UIDSet) *flagTexts {
	return &flagTexts{keywords: keywords, recent: recent, texts: make(map[flagKey]string)}
}

// text returns the parenthesised list of a message's flags, \Recent included.
func (t *flagTexts) text(uid imap.UID, set store.FlagSet) string {
	key := flagKey{flags: set, recent: len(t.recent) > 0 && t.recent.Contains(uid)}
	if s, ok := t.texts[key]; ok {
		return s
	}
	if len(t.texts) >= maxFlagTexts {
		clear(t.texts)
	}
	s := spellFlags(set.Names(t.keywords), key.recent)
	t.texts[key] = s
	return s
}

func spellFlags(names []imap.Flag, recent bool) string {
	b := []byte{'('}
	for _, name := range names {
		b = append(append(b, name...), ' ')
	}
	if recent {
		b = append(b, `\Recent `...)
	}
	if n := len(b); n > 1 {
		b = b[:n-1]
	}
	return string(append(b, ')'))
}
