package certs

import (
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// storage keeps certificates in memory. Unlike a folder it may be written to after the test: what CertMagic has begun it
// finishes in the background. The zero value is empty.
type storage struct {
	mu     sync.Mutex
	values map[string]stored        // guarded by mu
	locks  map[string]chan struct{} // closed when unlocked; guarded by mu
}

type stored struct {
	value    []byte
	modified time.Time
}

var _ certmagic.Storage = (*storage)(nil)

func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		held, locked := s.locks[name]
		if !locked {
			if s.locks == nil {
				s.locks = make(map[string]chan struct{})
			}
			s.locks[name] = make(chan struct{})
		}
		s.mu.Unlock()
		if !locked {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.locks[name])
	delete(s.locks, name)
	return nil
}

func (s *storage) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[string]stored)
	}
	s.values[key] = stored{slices.Clone(value), time.Now()}
	return nil
}

func (s *storage) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(v.value), nil
}

func (s *storage) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.values, func(k string, _ stored) bool { return k == key || strings.HasPrefix(k, key+"/") })
	return nil
}

func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below a path, and without recursive the next level only.
func (s *storage) List(_ context.Context, path string, recursive bool) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[string]bool)
	for k := range s.values {
		below, ok := strings.CutPrefix(k, path+"/")
		if !ok {
			continue
		}
		if next, _, more := strings.Cut(below, "/"); more && !recursive {
			k = path + "/" + next
		}
		found[k] = true
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func (s *storage) Stat(_ context.Context, key string) (certmagic.KeyInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[key]; ok {
		return certmagic.KeyInfo{Key: key, Modified: v.modified, Size: int64(len(v.value)), IsTerminal: true}, nil
	}
	for k := range s.values {
		if strings.HasPrefix(k, key+"/") {
			return certmagic.KeyInfo{Key: key}, nil
		}
	}
	return certmagic.KeyInfo{}, fs.ErrNotExist
}
