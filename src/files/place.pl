# What place.sh does, by one process: each program that it starts takes a millisecond. src/files/isolated.ts talks to
# either. Run by perl(1) without modules; behind the arguments of place.sh come numbers of this kind of machine: of the
# system calls statx(2) and fsync(2), and O_NOFOLLOW. Their 32 bits and errno are the same on x64 and arm64.
my ($d, $n, $most, $offset, $bytes, $statx, $fsync, $nofollow) = @ARGV;
my ($rest, $seen, $target, $new) = ('', '', '');
my ($ENOENT, $EEXIST, $EFBIG) = (2, 17, 27);
my ($RDWR, $CREAT, $EXCL, $NONBLOCK) = (2, 0100, 0200, 04000);
$| = 1;
$SIG{XFSZ} = 'IGNORE';

sub fail {
  my ($code, $why) = ($_[0] == 14 && $! == $EFBIG ? 153 : $_[0], "$!");
  unlink $new if defined $new;
  print STDERR "agent3: $why\n";
  exit $code;
}
# What was to be done is done: the agent need not wait for the end of the sandbox.
sub done { put(*STDOUT, "ok\0"); exit 0 }
sub here { my $path = readlink '/proc/self/cwd'; return defined $path ? $path : fail(11) }
# As stat -c '%f %s %u %g %h %d %i %.9Y %.9Z'; undefined where nothing is. The offsets are those of struct statx.
sub look {
  my ($at, $name, $flags) = @_;
  my $buffer = "\0" x 256;
  return undef if syscall($statx + 0, $at, $name, $flags, 0x7ff, $buffer) != 0;
  my ($links, $user, $group, $mode, $inode, $size) = unpack 'x16 L3 S x2 Q2', $buffer;
  my ($csec, $cnano, $msec, $mnano) = unpack 'x96 q L x4 q L', $buffer;
  my ($major, $minor) = unpack 'x136 L2', $buffer;
  return sprintf '%x %d %d %d %d %d:%d %d %d.%09d %d.%09d', $mode, $size, $user, $group, $links, $major, $minor, $inode,
    $msec, $mnano, $csec, $cnano;
}
sub named { return look(-100, "$_[0]", 0x100) }
sub opened { return look(fileno($_[0]), '', 0x1000) }
sub is_same { my $now = named("./$n"); return defined $now && $now eq $seen }
sub put {
  my ($out, $piece) = @_;
  for (my $at = 0; $at < length $piece;) {
    my $count = syswrite $out, $piece, length($piece) - $at, $at;
    return 0 unless defined $count;
    $at += $count;
  }
  return 1;
}
# Whether a file has these bytes and no more; undefined where it has fewer.
sub holds {
  my ($in, $wanted) = @_;
  sysseek $in, 0, 0;
  for (my $at = 0;;) {
    my $count = sysread $in, my $piece, 65536;
    return $at < length $wanted ? undef : 1 unless $count;
    return 0 if $at + $count > length $wanted || substr($wanted, $at, $count) ne $piece;
    $at += $count;
  }
}

# 1. It enters the directory, and writes what is there.
until (chdir $d) {
  my $why = -d $d ? 'permission denied' : -e $d || -l $d ? 'it is not a directory' : '';
  if ($why ne '' || $d eq '/') { print STDERR $why; exit 11 }
  $d =~ s{/([^/]*)\z}{};
  $rest = $rest eq '' ? $1 : "$1/$rest";
  $d = '/' if $d eq '';
}
if ($rest eq '') {
  $seen = named("./$n");
  fail(11) unless defined $seen || $! == $ENOENT;
  $seen = '' unless defined $seen;
  $target = readlink "./$n" if -l "./$n";
}
put(*STDOUT, join "\0", here(), $rest, $seen, $target, '') or exit 12;

# 2. It writes the content of a file, and then how much that was.
if ($bytes ne '' && $seen =~ /^8/) {
  my $size = (split / /, $seen)[1];
  my ($skip, $count) = (0, $most + 1);
  if ($size > $most) {
    ($skip, $count) = ($offset, $bytes);
    $skip += $size if $skip < 0;
    $skip = 0 if $skip < 0;
  }
  sysopen my $in, "./$n", $nofollow | $NONBLOCK or fail(12);
  sysseek $in, $skip, 0 if $skip > 0;
  my $sum = 0;
  while ($sum < $count) {
    my $piece;
    my $got = sysread $in, $piece, $count - $sum < 65536 ? $count - $sum : 65536;
    fail(12) unless defined $got;
    last if $got == 0;
    put(*STDOUT, $piece) or exit 12;
    $sum += $got;
  }
  print STDERR "$sum bytes copied\n";
}

# 3. It waits for what to do.
my $line = '';
until ($line =~ /\n\z/) { sysread STDIN, $line, 1, length $line or exit 0 }
my ($verb, $length, $mask, $mode, $owner, $group, $name) = split ' ', $line;
if ($verb eq 'remove') {
  is_same() or exit 13;
  unlink "./$n" or fail(14);
  while ($length-- > 0) {
    my ($part) = here() =~ m{([^/]+)\z};
    defined $part && chdir '..' && rmdir "./$part" or done();
  }
  done();
}
my $content = '';
while (length $content < $length) {
  sysread STDIN, $content, $length - length $content, length $content or exit 16;
}
# One directory after the other: a link that has come meanwhile leads to another real path.
for my $part (split m{/}, $rest) {
  my $top = here();
  $top = '' if $top eq '/';
  -d "./$part" or mkdir "./$part" or -d "./$part" or fail(14);
  chdir "./$part" or fail(14);
  here() eq "$top/$part" or exit 13;
}
umask oct $mask if $mask ne '-';
sysopen my $out, "./$name", $RDWR | $CREAT | $EXCL | $nofollow, 0666 or fail(14);
$new = "./$name";
put($out, $content) && syscall($fsync + 0, fileno $out) == 0 or fail(14);
my (undef, undef, $user, $has) = split / /, opened($out);
$owner eq '-' or $owner == $user or chown $owner, -1, $out or fail(15);
$group eq '-' or $group == $has or chown -1, $group, $out or fail(15);
$mode eq '-' or chmod oct $mode, $out or fail(14);
# Nobody has written to it meanwhile, or put another in its place.
my $holds = holds($out, $content);
fail(16) unless defined $holds;
my $now = named($new);
fail(13) unless $holds && defined $now && $now eq opened($out);
if ($seen ne '') {
  is_same() or fail(13);
  rename $new, "./$n" or fail(14);
} elsif (link $new, "./$n") {
  unlink $new;
} else {
  # A file system without hard links, or somebody has taken the name.
  fail(13) if $! == $EEXIST || defined named("./$n");
  rename $new, "./$n" or fail(14);
}
done();
