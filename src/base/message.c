// SPDX-License-Identifier: MIT
#include "base/message.h"

#include <stdarg.h>
#include <stdio.h>

int message_set(struct message *m, int err, const char *format, ...)
{
	va_list args;

	if (!m)
		return err;
	va_start(args, format);
	vsnprintf(m->text, sizeof(m->text), format, args);
	va_end(args);
	for (char *c = m->text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	return err;
}
