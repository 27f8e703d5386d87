# The agent inside a guest: it carries out what the host asks for over a virtio-serial port, which needs no network.
# It is Perl because that is on every Debian, so the image needs nothing for it.
#
# Both sides send frames: channel (32 bits, big endian), type (a letter), length (32 bits), data. A channel is one job;
# channel 0 is the agent itself.
#
#   host:   X start a command (arguments, each ended by a NUL)   U connect to a Unix socket (its path)
#           I input, none for its end                            K give up: kill the command's process group
#   guest:  R the agent is there (channel 0)   O output   E standard error   Z the job's end: "exit N", "signal N" or
#           "error TEXT"
use strict;
use warnings;
use Errno qw(EAGAIN EINTR ENOENT);
use Fcntl;
use POSIX qw(:sys_wait_h setsid);
use Socket;

my $CHUNK = 32768;
# Beyond so much waiting data nothing more is read from its source.
my $ENOUGH = 1 << 20;

$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { exit 0 };
# Only there to end a select early.
$SIG{CHLD} = sub { };

my $port = open_port();
my $to_host = frame(0, 'R', '');
my $from_host = '';
my %jobs;

while (1) { turn() }

sub frame { my ($channel, $type, $data) = @_; return pack('NaN', $channel, $type, length $data) . $data }

sub say_to_host { $to_host .= frame(@_) }

sub open_port {
    while (1) {
        for my $sys (glob '/sys/class/virtio-ports/vport*') {
            open(my $file, '<', "$sys/name") or next;
            my $name = <$file> // '';
            next unless $name eq "monopod\n";
            (my $device = $sys) =~ s,.*/,/dev/,;
            sysopen(my $opened, $device, O_RDWR | O_NONBLOCK) or next;
            return $opened;
        }
        select undef, undef, undef, 0.1;
    }
}

sub nonblocking { my ($file) = @_; fcntl($file, F_SETFL, fcntl($file, F_GETFL, 0) | O_NONBLOCK) or die "fcntl: $!" }

# One round: wait until something can be done, and do it.
sub turn {
    my ($read, $write) = ('', '');
    my $full = length $to_host > $ENOUGH;
    vec($read, fileno $port, 1) = 1 unless grep { length $_->{input} > $ENOUGH } values %jobs;
    vec($write, fileno $port, 1) = 1 if length $to_host;
    for my $job (values %jobs) {
        for (qw(out err)) { vec($read, fileno $job->{$_}, 1) = 1 if $job->{$_} && !$full }
        vec($write, fileno $job->{in}, 1) = 1 if $job->{in} && length $job->{input};
    }
    # A signal between here and the system call would be missed: look again after a while.
    select $read, $write, undef, 0.5;
    hear($read);
    for my $channel (keys %jobs) {
        my $job = $jobs{$channel};
        feed($job);
        reap($job);
        my $got = listen_to($channel, $job);
        end_if_over($channel, $job, $got);
    }
    if (length $to_host) {
        my $sent = syswrite $port, $to_host, $CHUNK;
        substr($to_host, 0, $sent) = '' if $sent;
    }
}

sub hear {
    my ($read) = @_;
    return unless vec($read, fileno $port, 1);
    my $got = sysread $port, $from_host, $CHUNK, length $from_host;
    # Nothing at all means that the host is not connected, which wakes at once for ever.
    select undef, undef, undef, 0.1 if defined $got && $got == 0;
    while (length $from_host >= 9) {
        my ($channel, $type, $length) = unpack 'NaN', $from_host;
        last if length $from_host < 9 + $length;
        my $data = substr $from_host, 9, $length;
        substr($from_host, 0, 9 + $length) = '';
        obey($channel, $type, $data);
    }
}

sub obey {
    my ($channel, $type, $data) = @_;
    my $job = $jobs{$channel};
    if ($type eq 'X') { start($channel, split /\0/, $data, -1) }
    elsif ($type eq 'U') { attach($channel, $data) }
    elsif (!$job) { }
    elsif ($type eq 'I') { length $data ? $job->{input} .= $data : ($job->{complete} = 1) }
    elsif ($type eq 'K') { kill 'KILL', -$job->{pid}, $job->{pid} if $job->{pid} }
}

sub start {
    my ($channel, @arguments) = @_;
    pop @arguments;    # what follows the last NUL
    my ($in_read, $in, $out, $out_write, $err, $err_write);
    pipe($in_read, $in) && pipe($out, $out_write) && pipe($err, $err_write)
        or return say_to_host($channel, 'Z', "error pipe: $!");
    my $pid = fork;
    return say_to_host($channel, 'Z', "error fork: $!") unless defined $pid;
    become(\@arguments, $in_read, $out_write, $err_write) if $pid == 0;
    close $_ for $in_read, $out_write, $err_write;
    nonblocking($_) for $in, $out, $err;
    $jobs{$channel} = { pid => $pid, in => $in, out => $out, err => $err, input => '' };
}

sub become {
    my ($arguments, $in, $out, $err) = @_;
    $SIG{$_} = 'DEFAULT' for qw(PIPE CHLD TERM);
    setsid();
    open STDIN, '<&', $in;
    open STDOUT, '>&', $out;
    open STDERR, '>&', $err;
    if (open my $adjust, '>', '/proc/self/oom_score_adj') { print $adjust 0; close $adjust }
    %ENV = (PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME => '/root', LANG => 'C.UTF-8');
    chdir '/root';
    no warnings 'exec';
    exec { $arguments->[0] } @$arguments;
    print STDERR "agent: $arguments->[0]: $!\n";
    POSIX::_exit($! == ENOENT ? 127 : 126);
}

sub attach {
    my ($channel, $path) = @_;
    my $made = socket(my $socket, PF_UNIX, SOCK_STREAM, 0);
    $made && connect($socket, sockaddr_un($path)) or return say_to_host($channel, 'Z', "error $path: $!");
    nonblocking($socket);
    $jobs{$channel} = { in => $socket, out => $socket, input => '', status => 0 };
}

sub feed {
    my ($job) = @_;
    return unless $job->{in};
    if (length $job->{input}) {
        my $sent = syswrite $job->{in}, $job->{input}, $CHUNK;
        if (defined $sent) { substr($job->{input}, 0, $sent) = '' }
        elsif ($! != EAGAIN && $! != EINTR) { $job->{input} = ''; hang_up($job) }
    }
    hang_up($job) if $job->{complete} && !length $job->{input};
}

# A socket stays open for the answer.
sub hang_up {
    my ($job) = @_;
    my $in = delete $job->{in};
    return unless $in;
    $job->{pid} ? close $in : shutdown $in, 1;
}

# Passes on what a job says; whether there was anything.
sub listen_to {
    my ($channel, $job) = @_;
    my $any = 0;
    for ([out => 'O'], [err => 'E']) {
        my ($stream, $type) = @$_;
        next if !$job->{$stream} || length $to_host > $ENOUGH;
        my $data;
        my $got = sysread $job->{$stream}, $data, $CHUNK;
        if ($got) { say_to_host($channel, $type, $data); $any = 1 }
        elsif (defined $got || ($! != EAGAIN && $! != EINTR)) { close delete $job->{$stream} }
    }
    return $any;
}

# Comes before listening: what a command said in its last moment is there to be heard once its end is known.
sub reap {
    my ($job) = @_;
    $job->{status} = $? if $job->{pid} && !defined $job->{status} && waitpid($job->{pid}, WNOHANG) == $job->{pid};
}

# It is over when it ended and all it said was passed on. A child that it left may keep its pipes open for ever.
sub end_if_over {
    my ($channel, $job, $got) = @_;
    return if !defined $job->{status} || $got || length $to_host > $ENOUGH;
    return if !$job->{pid} && $job->{out};
    delete $jobs{$channel};
    my $status = $job->{status};
    say_to_host($channel, 'Z', $status & 127 ? 'signal ' . ($status & 127) : 'exit ' . ($status >> 8));
}
