package postgres

type routeCache struct{}

func newRouteCache() *routeCache { return &routeCache{} }
