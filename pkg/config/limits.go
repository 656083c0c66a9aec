package config

import "time"

// Limits bound what one client can take.
type Limits struct {
	Message               int64 // octets
	Connections           int   // of one listener
	ConnectionsPerAddress int
	SessionsPerAccount    int
	MailboxesPerAccount   int
	Annotation            int64 // octets of a value

	LoginTime         time.Duration
	OctetsBeforeLogin int64
	BadCommands       int // in a row
	CommandsPerSecond int // 0: any number
	CommandsBurst     int
	Stall             time.Duration // in the middle of something
	MinRate           int           // octets a second; 0: none
}

// limitSettings are those of Limits.
var limitSettings = []setting{
	{
		key: "limits.message", preset: "100MiB",
		doc:   "The largest message that is taken, by any protocol.",
		field: func(c *Config) any { return &c.Limits.Message },
	},
	{
		key: "limits.connections", preset: "20000",
		doc:   "Connections of one listener at once.",
		field: func(c *Config) any { return &c.Limits.Connections },
	},
	{
		key: "limits.connections_per_address", preset: "2000",
		doc:   "The same from one IPv4 address or IPv6 /64. An office may be one address, with several connections a device.",
		field: func(c *Config) any { return &c.Limits.ConnectionsPerAddress },
	},
	{
		key: "limits.sessions_per_account", preset: "50",
		doc:   "IMAP sessions of one account at once.",
		field: func(c *Config) any { return &c.Limits.SessionsPerAccount },
	},
	{
		key: "limits.mailboxes_per_account", preset: "20000",
		doc:   "Mailboxes that one account can have. It can be subscribed to twice as many names.",
		field: func(c *Config) any { return &c.Limits.MailboxesPerAccount },
	},
	{
		key: "limits.annotation", preset: "64KiB",
		doc:   "The longest value of an annotation (METADATA) that is taken.",
		field: func(c *Config) any { return &c.Limits.Annotation },
	},
	{
		key: "limits.login_time", preset: "2m",
		doc:   "How long a connection of IMAP or POP3 may take to log in, of which TLS may take 20 seconds.",
		field: func(c *Config) any { return &c.Limits.LoginTime },
	},
	{
		key: "limits.octets_before_login", preset: "64KiB",
		doc:   "How much a connection of IMAP or POP3 may send without a login. Access tokens are sent before it, of at most 16 KiB.",
		field: func(c *Config) any { return &c.Limits.OctetsBeforeLogin },
	},
	{
		key: "limits.bad_commands", preset: "50",
		doc:   "How many commands in a row that are none end a session, of any protocol.",
		field: func(c *Config) any { return &c.Limits.BadCommands },
	},
	{
		key: "limits.commands_per_second", preset: "2000",
		doc: "How many commands a second one session of IMAP or POP3 has run, once it has had limits.commands_burst. It is slowed down\n" +
			"then, not ended. 0: no limit.",
		field: func(c *Config) any { return &c.Limits.CommandsPerSecond },
	},
	{
		key: "limits.commands_burst", preset: "100000",
		doc:   "How many commands a session has run at any speed. A first synchronization takes one or more for each message.",
		field: func(c *Config) any { return &c.Limits.CommandsBurst },
	},
	{
		key: "limits.stall", preset: "5m",
		doc:   "How long a client may keep its session waiting in the middle of something: for the rest of a command or message, or because\nit does not take what it is sent.",
		field: func(c *Config) any { return &c.Limits.Stall },
	},
	{
		key: "limits.min_rate", preset: "500",
		doc:   "Octets a second: a client that sends or takes less is not waited for much longer than limits.stall in all, one that keeps\nto it without end. 0: any octet prolongs the wait.",
		field: func(c *Config) any { return &c.Limits.MinRate },
	},
}
