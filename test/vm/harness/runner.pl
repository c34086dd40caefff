#!/usr/bin/perl
# Runs the scripts that the tests send, one after the other, and answers with exit code, output and errors.
# One line each way: "<id> <script>" and "<id> <code> <stdout> <stderr>", the texts in base64.
use strict;
use warnings;
use MIME::Base64;

my $directory = '/run/vm-runner';
mkdir $directory;
open(my $port, '+<', '/dev/vport0p1') or die "no channel to the host: $!";
binmode($port);
$port->autoflush(1);

sub slurp {
    my ($path) = @_;
    open(my $file, '<', $path) or return '';
    binmode($file);
    local $/;
    my $text = <$file>;
    return defined $text ? $text : '';
}

my $buffer = '';
while (1) {
    my $count = sysread($port, $buffer, 65536, length $buffer);
    if (!$count) { select(undef, undef, undef, 0.1); next; }
    while ($buffer =~ s/^([^\n]*)\n//) {
        my ($id, $script) = split / /, $1;
        next unless defined $script;
        open(my $file, '>', "$directory/script") or die;
        print $file decode_base64($script);
        close $file;
        my $status = system("bash $directory/script > $directory/out 2> $directory/err < /dev/null");
        my $code = $status == -1 ? 127 : ($status & 127) ? 128 + ($status & 127) : $status >> 8;
        my $answer = join(' ', $id, $code, encode_base64(slurp("$directory/out"), '') || '-', encode_base64(slurp("$directory/err"), '') || '-') . "\n";
        while (length $answer) {
            my $written = syswrite($port, $answer);
            last unless defined $written;
            substr($answer, 0, $written, '');
        }
    }
}
