/* SPDX-License-Identifier: MIT */
/* message.h - one sentence for a person about what went wrong: the thing, the reason, the remedy. */
#ifndef BASE_MESSAGE_H
#define BASE_MESSAGE_H

struct message {
	char text[512]; /* never holds a newline */
};

/* Sets the sentence and returns err, so that a failing path is `return message_set(why, -EPERM, ...)`.
 * Takes NULL for m. */
int message_set(struct message *m, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
