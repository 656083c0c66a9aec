package postgres

import "context"

type lane struct{}

func (s *Store) startLanes(background context.Context) {}
