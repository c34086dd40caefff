#!/usr/bin/perl
# Runs the scripts that the tests send, each with bash and as root, several at once when asked to.
# One line each way, the texts in hex: "<id> <seconds> <script>", answered by "<id> <code> <stdout> <stderr>", where the
# code is "late" when the script was killed after its seconds. At its start it says "hello <boot>".
# It needs no module that perl-base of Debian 13 lacks, as it does the one for base64.
use strict;
use warnings;
use Fcntl;
use POSIX ':sys_wait_h';

my $directory = '/run/vm-runner';
mkdir $directory;
my $port;
if (defined $ENV{VM_CHANNEL}) {
    # A container: a socket of the host.
    require Socket;
    socket($port, Socket::PF_UNIX(), Socket::SOCK_STREAM(), 0) or die "socket: $!";
    connect($port, Socket::pack_sockaddr_un(delete $ENV{VM_CHANNEL})) or die "no channel to the host: $!";
    fcntl($port, F_SETFL, O_NONBLOCK) or die "no channel to the host: $!";
} else {
    # Its number is that of the device, which the kernel assigns in the order in which it finds them.
    my ($channel) = glob '/dev/vport*p1';
    # Not blocking, so that the ends of scripts are seen while nothing arrives.
    sysopen($port, $channel // '/dev/vport0p1', O_RDWR | O_NONBLOCK) or die "no channel to the host: $!";
}

sub slurp {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or return '';
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

# The port takes 32 KiB at a time, and nothing while the host is behind.
sub answer {
    my ($line) = @_;
    my $at = 0;
    while ($at < length $line) {
        my $written = syswrite($port, $line, 32768, $at);
        if (defined $written) { $at += $written; next }
        select(undef, my $ready = port_bit(), undef, 0.1);
    }
}

sub port_bit { my $set = ''; vec($set, fileno($port), 1) = 1; return $set }

# A machine full of processes has no room for one more at once.
sub patient_fork {
    for (1 .. 600) {
        my $pid = fork;
        return $pid if defined $pid;
        select(undef, undef, undef, 0.1);
    }
    die "no room for a process: $!";
}

sub start {
    my ($id, $script) = @_;
    my $base = "$directory/$id";
    open(my $file, '>:raw', "$base.sh") or die "$base.sh: $!";
    print $file $script;
    close $file;
    my $pid = patient_fork();
    return $pid if $pid;
    setpgrp;
    # A script is no more precious than any other program of the machine.
    if (open(my $score, '>', '/proc/self/oom_score_adj')) { print $score 0; close $score }
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>', "$base.out");
    open(STDERR, '>', "$base.err");
    exec('bash', "$base.sh") or POSIX::_exit(127);
}

sub finish {
    my ($id, $code) = @_;
    my $base = "$directory/$id";
    my ($out, $err) = map { unpack('H*', slurp("$base.$_")) || '-' } 'out', 'err';
    # What the script has left running may still write: into files without a name.
    unlink "$base.sh", "$base.out", "$base.err";
    answer("$id $code $out $err\n");
}

my $boot = slurp('/proc/sys/kernel/random/boot_id');
chomp $boot;
# The line break before it ends what a reboot has cut off.
answer("\nhello $boot\n");

$SIG{CHLD} = sub { };
my %running;
my $buffer = '';
while (1) {
    for my $pid (keys %running) {
        next if uptime() < $running{$pid}{end};
        $running{$pid}{late} = 1;
        kill 'KILL', -$pid;
    }
    # Right before the wait, which the end of a script interrupts: one that comes in between is seen a second later.
    while ((my $pid = waitpid(-1, WNOHANG)) > 0) {
        my $status = $?;
        my $job = delete $running{$pid} or next;
        my $code = ($status & 127) ? 128 + ($status & 127) : $status >> 8;
        finish($job->{id}, $job->{late} ? 'late' : $code);
    }
    # Each look costs an emulated processor milliseconds.
    select(my $ready = port_bit(), undef, undef, 1);
    my $count = sysread($port, $buffer, 65536, length $buffer);
    # Without a host at the other end the port is always readable, and empty.
    select(undef, undef, undef, 0.05) if defined $count && $count == 0;
    while ($buffer =~ s/^([^\n]*)\n//) {
        my ($id, $seconds, $script) = split / /, $1;
        next unless defined $script && $id =~ /^\d+$/;
        my $pid = start($id, pack('H*', $script));
        $running{$pid} = { id => $id, end => uptime() + $seconds };
    }
}

# Not the time of day, which tests may change.
sub uptime { return (split / /, slurp('/proc/uptime'))[0] }
