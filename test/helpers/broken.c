/* An executable that can be installed, and does not come up. No script: the user of the agent could not read that. */
#include <stdio.h>
#include <string.h>

int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "--version") == 0) return puts("agent3 10.0.0 (broken)") < 0;
  fputs("agent3: it is broken\n", stderr);
  return 1;
}
