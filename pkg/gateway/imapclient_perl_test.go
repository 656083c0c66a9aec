package gateway_test

import "testing"

// TestMailIMAPClient has Perl's Mail::IMAPClient do all it can: it compresses, makes a folder with a Japanese name, appends,
// searches, sorts, threads, copies, moves (which it does with COPY and STORE), expunges by UID, reads rights and quota, and hears of new mail while it idles.
func TestMailIMAPClient(t *testing.T) {
	t.Parallel()
	const user = "perl@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 800, 12)
	dir := t.TempDir()
	script := write(t, dir, "t.pl", mailIMAPClient)
	command(t, dir, nil, "perl", "-w", script, port(tap.imap), user, password, s.certificate(t))
	s.wantMessages(t, user, map[string]uint32{"INBOX": 13, "仕事/会議": 5})
	tap.wantUsed(t, "ACL", "COMPRESS=DEFLATE", "ID", "IDLE", "NAMESPACE", "QUOTA", "SORT", "THREAD", "UIDPLUS")
}

const mailIMAPClient = `
use strict; use Mail::IMAPClient; use MIME::Base64;
my ($port, $user, $password, $ca) = @ARGV;
sub connected {
    Mail::IMAPClient->new(Server => 'localhost', Port => $port, User => $user, Password => $password, Uid => 1,
        Ssl => [SSL_ca_file => $ca], @_) or die "connect: $@";
}
my $c = connected();
sub ok { my ($what, $got) = @_; die "$what: " . ($c->LastError // 'false') unless $got; $got }
sub is { my ($what, $got, $want) = @_; die "$what: got $got, want $want" unless $got eq $want }
ok('id', $c->tag_and_run('ID ("name" "Mail::IMAPClient" "version" "' . Mail::IMAPClient->VERSION . '")'));
ok('compress', $c->compress);
is('separator', $c->separator, '/');
ok('namespace', $c->namespace);
ok('select', $c->select('INBOX'));
is('count', $c->message_count, 12);
my $name = '&TtVOiw-/&TxqLcA-';
ok('create', $c->create($name));
ok('subscribe', $c->subscribe($name));
is('listed', scalar(grep { $_ eq $name } $c->folders), 1);
is('subscribed', scalar(grep { $_ eq $name } $c->subscribed), 1);
my @all = @{ok('search', scalar $c->search('ALL'))};
is('search', scalar(@all), 12);
is('Japanese', join(',', @{ok('search', scalar $c->search('CHARSET', 'UTF-8', 'BODY', "\xe6\x89\x93\xe3\x81\xa1\xe5\x90\x88\xe3\x82\x8f\xe3\x81\x9b"))}), $all[10]);
is('sort', join(',', $c->sort('REVERSE DATE', 'UTF-8', 'ALL')), join(',', reverse @all));
is('thread', scalar(@{ok('thread', scalar $c->thread('REFERENCES', 'UTF-8', 'ALL'))}), 12);
my $text = ok('fetch', $c->message_string($all[3]));
is('size', length($text), $c->size($all[3]));
like_subject($c->subject($all[3]), 'Mail number 803');
sub like_subject { my ($got, $want) = @_; is('subject', $got, $want) }
ok('structure', $c->get_bodystructure($all[0]))->bodytype eq 'MULTIPART' or die 'bodystructure';
is('envelope', ok('envelope', $c->get_envelope($all[3]))->subject, 'Mail number 803');
ok('hash', keys %{$c->fetch_hash('FLAGS', 'INTERNALDATE', 'RFC822.SIZE')} == 12);
ok('headers', $c->parse_headers([@all], 'Subject', 'From'));
ok('flag', $c->set_flag('Flagged', $all[1], $all[2]));
ok('keyword', $c->store("$all[1],$all[2]", '+FLAGS.SILENT', '($Label1)'));
is('flagged', join(',', $c->search('FLAGGED', 'KEYWORD', '$Label1')), "$all[1],$all[2]");
ok('append', $c->append_string($name, "Subject: appended\r\n\r\nby Perl\r\n", '\Seen', '01-Nov-2026 10:00:00 +0900'));
ok('copy', $c->copy($name, @all[0, 1]));
ok('move', $c->move($name, @all[4, 5]));
is('status', $c->message_count($name), 5);
ok('rights', $c->myrights($name));
ok('acl', $c->getacl($name));
ok('quota', $c->getquotaroot('INBOX'));
my $expunged = $all[6];
ok('delete', $c->delete_message($expunged));
ok('expunge', $c->uidexpunge($expunged));
# While it idles, another session appends.
ok('examine', $c->examine('INBOX'));
my $idle = ok('idle', $c->idle);
my $other = connected();
for my $n (1 .. 2) { $other->append_string('INBOX', "Subject: news\r\n\r\n$n\r\n") or die $other->LastError }
$other->logout or die;
my $heard = '';
while ($heard !~ /^\* 13 EXISTS/m) {
    my $more = $c->idle_data(30) or die 'idle: ' . $c->LastError;
    @$more or die "nothing heard after: $heard";
    $heard .= join '', @$more;
}
ok('done', $c->done($idle));
ok('close', $c->close);
ok('logout', $c->logout);
`
