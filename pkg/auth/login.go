package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-sasl"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	maxUser     = 320  // octets: the longest address there is (RFC 5321 §4.5.3.1)
	maxPassword = 1024 // octets; nobody types more, and hashing is not free
)

// Options says how to check credentials. Only Directory is required; what is zero takes its default.
type Options struct {
	Directory Directory
	Log       *zap.Logger // one line for each login, accepted or refused; nil means none

	Hashes    int           // password hashes computed at once, about 19 MiB each; default: one for two processors
	CacheTTL  time.Duration // how long a verified login is remembered; default 1 h, negative: not at all
	CacheSize int           // verified logins remembered; default 10,000

	Delay    time.Duration // after the first failure, growing with each; default 500 ms
	MaxDelay time.Duration // default 5 s
	Throttle Throttle
	Bans     BanList                       // shared by all processes; nil: this one is alone
	History  History                       // nil: none is kept
	Novel    func(context.Context, Record) // called beside the logins for one from a place or device that is new; may be nil
	Queue    int                           // strangers that may wait for a password hash at once; default 256

	// Mechanisms are those of SASL that are offered, in any order; none means all there are. Without PLAIN, passwords in the
	// clear are not taken at all, not even inside TLS.
	Mechanisms []string
	// Seed has the users who are not there look the same to all processes, and after a restart: a secret; nil means that
	// each process makes one up.
	Seed []byte

	Tokens Tokens  // nil: no access tokens are taken
	Realms []Realm // no two for the same domain

	Plaintext bool // let passwords through without TLS too, where something in front of us provides it

	// For tests: the clock, waiting (which must end with ctx), and a number in [0, 1) that spreads delays.
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
	Jitter func() float64
}

// Auth is the Authenticator over a Directory. It is safe for concurrent use.
type Auth struct {
	opt      Options
	key      [32]byte                                    // of this process; see digest
	seed     []byte                                      // see Options
	hashing  *line                                       // for password hashes
	here     way                                         // by them
	realms   map[string]*realm                           // by domain
	asking   chan struct{}                               // holds a token for each question to the Directory by who logs in
	verified *recent[digest, struct{}]                   // by a hash, see cacheKey
	throttle *throttle                                   //
	bans     *banCache                                   //
	ledger   *ledger                                     //
	guard    *guard                                      // of the sessions there are
	verify   func(password, secret string) (bool, error) // checkHash; tests count its calls
	current  func(Credential) bool                       // isCurrent; tests keep passwords as they are
}

var _ Authenticator = (*Auth)(nil)

// New returns an Authenticator that has seen nothing yet: what it remembers is in memory only.
func New(opt Options) *Auth {
	opt = opt.withDefaults()
	a := &Auth{
		opt:      opt,
		hashing:  newLine(opt.Hashes, opt.Queue, 0),
		asking:   make(chan struct{}, maxAsking),
		verified: newRecent[digest, struct{}](opt.CacheSize, opt.CacheTTL, opt.Now),
		guard:    newGuard(),
		verify:   checkHash,
		current:  isCurrent,
	}
	a.here = way{a.hashing, a.matchHash, a.verified, a.cacheKey}
	a.realms = newRealms(a, opt.Realms)
	a.bans = newBanCache(opt.Bans, opt.Log, opt.Now, a.pardon)
	a.throttle = newThrottle(opt.Throttle, a.bans, opt.Now)
	a.ledger = &ledger{history: opt.History, novel: opt.Novel, log: opt.Log, now: opt.Now}
	rand.Read(a.key[:]) // it ends the program rather than fail
	if a.seed = opt.Seed; a.seed == nil {
		a.seed = a.key[:]
	}
	return a
}

func (o Options) withDefaults() Options {
	o.Hashes = cmp.Or(o.Hashes, max(1, runtime.GOMAXPROCS(0)/2)) // the others are for those who are logged in
	o.CacheTTL = cmp.Or(o.CacheTTL, time.Hour)
	o.CacheSize = cmp.Or(o.CacheSize, 10_000)
	o.Queue = cmp.Or(o.Queue, 256)
	o.Delay = cmp.Or(o.Delay, 500*time.Millisecond)
	o.MaxDelay = cmp.Or(o.MaxDelay, 5*time.Second)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = mathrand.Float64
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// attempt is one try to log in: what the client said, and what has been found out about it.
type attempt struct {
	peer     Peer
	mech     string // "LOGIN" for the command of that name and for USER and PASS too
	authz    string // the identity to act as, "" or the user's own
	user     string
	password string // normalised
	code     string // that was appended to it, if the account needs one

	cred  Credential   // of the user, or a stand-in
	known bool         // whether there is such a user
	app   *AppPassword // that was given, if it is one of the user's
	realm *realm       // that knows the user's password; nil: we do
	ways  []way        // to check the password, one after another
	keys  keys         // what failures are counted by
	print digest       // of user and password: the same wrong password again is not another failure
}

// Login implements Authenticator.
func (a *Auth) Login(ctx context.Context, p Peer, user, password string) (Identity, error) {
	return a.login(ctx, &attempt{peer: p, mech: "LOGIN", user: user, password: password})
}

// login is every password's way in: it reads as the list of what must hold.
func (a *Auth) login(ctx context.Context, t *attempt) (Identity, error) {
	if !a.takes(t.peer, sasl.Plain) {
		return Identity{}, ErrMechanism
	}
	fault := t.normalise()
	if fault == "" {
		if err := a.lookUp(ctx, t); err != nil {
			return Identity{}, err
		}
		t.realm = a.realmOf(t.user)
	}
	t.ways = a.ways(t)
	a.identify(t)
	refused, err := a.judge(ctx, t, fault)
	switch {
	case err != nil:
		return Identity{}, err
	case refused.as != nil:
		return Identity{}, a.refuse(ctx, t, refused)
	}
	return a.accept(t), nil
}

// accept lets the user in.
func (a *Auth) accept(t *attempt) Identity {
	a.throttle.succeeded(t.keys)
	a.audit(t).Info("login")
	a.note(t, "")
	return t.identity()
}

// identity is who has logged in.
func (t *attempt) identity() Identity {
	id := t.cred.Identity
	if t.app != nil {
		id.App, id.Expires = t.app.ID, t.app.Expires
	}
	return id
}

// normalise makes the name and password comparable and says what is wrong with them, if anything.
func (t *attempt) normalise() (fault string) {
	if len(t.password) > maxPassword || len(t.user) > maxUser {
		t.user = t.user[:min(len(t.user), maxUser)] // it is going to be logged
		return "name or password too long"
	}
	if fault = t.faultOfName(); fault != "" {
		return fault
	}
	password, err := normalise(t.password)
	if err != nil {
		return err.Error()
	}
	t.password = password
	return ""
}

// faultOfName says what is wrong with the names, if anything.
func (t *attempt) faultOfName() string {
	if len(t.user) > maxUser || len(t.authz) > maxUser {
		t.user = t.user[:min(len(t.user), maxUser)] // it is going to be logged
		return "name or password too long"
	}
	if t.user == "" || !isText(t.user) || !isText(t.authz) {
		return "name is not text"
	}
	if t.authz != "" && !strings.EqualFold(t.authz, t.user) { // RFC 4616 §2: nobody may act for another here
		return "authorization identity is another's"
	}
	return ""
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// lookUp fills in what the directory knows. For a user it does not know, it fills in one who cannot log in but costs
// as much to check.
func (a *Auth) lookUp(ctx context.Context, t *attempt) error {
	if err := a.mayAsk(ctx); err != nil {
		return err
	}
	defer func() { <-a.asking }()
	asOf := a.guard.heard()
	cred, err := a.opt.Directory.Credential(ctx, t.user)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return unavailable(ctx, fmt.Errorf("look up the user: %w", err))
	}
	cred.asOf = asOf
	t.cred, t.known = cred, true
	if err := a.findApp(ctx, t); err != nil {
		return unavailable(ctx, fmt.Errorf("look up app passwords: %w", err))
	}
	t.splitCode()
	return nil
}

// unavailable marks an error that came of waiting too long.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// identify works out by what the attempt is counted, once the user's own spelling of the name is known.
func (a *Auth) identify(t *attempt) {
	name := t.name()
	prefix := prefixOf(t.peer.Addr)
	t.keys = keys{
		address: prefix,
		site:    siteOf(t.peer.Addr),
		name:    t.cred.User,
		user:    a.digest("user", name),
		pair:    a.pairOf(name, prefix),
	}
	t.print = a.digest("attempt", name, t.password+t.code)
}

// name is the user's, spelled as the directory does, or would.
func (t *attempt) name() string {
	if t.known {
		return t.cred.User
	}
	if address, ok := store.ParseAddress(t.user); ok {
		return address.String()
	}
	return strings.ToLower(t.user)
}

// pairOf stands for a user at an address.
func (a *Auth) pairOf(user string, address netip.Prefix) digest {
	return a.digest("pair", user, address.String())
}

// refuse makes the client wait, longer each time, and leaves one line for the operator.
func (a *Auth) refuse(ctx context.Context, t *attempt, r refusal) error {
	failures := a.throttle.failures(t.keys)
	a.note(t, r.why)
	a.audit(t).Warn("login refused", zap.String("reason", r.why), zap.Int("failures", failures))
	if cut := a.opt.Sleep(ctx, a.delay(failures)); cut != nil {
		return fmt.Errorf("%w: %w", r.as, cut)
	}
	return r.as
}

// delay grows by half with each failure, spread by a quarter to either side so that it tells nothing by itself.
func (a *Auth) delay(failures int) time.Duration {
	d := float64(a.opt.Delay)
	for i := 1; i < failures && d < float64(a.opt.MaxDelay); i++ {
		d *= 1.5
	}
	return time.Duration(min(d, float64(a.opt.MaxDelay)) * (0.75 + a.opt.Jitter()/2))
}

func (a *Auth) audit(t *attempt) *zap.Logger {
	log := a.opt.Log.With(zap.String("user", t.user), zap.String("conn", t.peer.Conn), zap.Stringer("remote", t.peer.Addr),
		zap.String("proto", t.peer.Protocol), zap.String("mechanism", t.mech))
	switch {
	case t.app != nil:
		log = log.With(zap.String("app_password", t.app.Name))
	case t.realm != nil:
		log = log.With(zap.String("directory", t.realm.Name))
	}
	return log
}

// digest stands for something that must not be kept, or is too long to be. It means nothing outside this process.
type digest [sha256.Size]byte

func (a *Auth) digest(parts ...string) (d digest) {
	mac := hmac.New(sha256.New, a.key[:])
	for _, p := range parts {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p)))) // so that "ab","c" is not "a","bc"
		mac.Write([]byte(p))
	}
	mac.Sum(d[:0])
	return d
}

// prefixOf is what is counted as one address: a /64 is one customer's.
func prefixOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: a socket of this machine
	}
	return p
}
