.output /dev/stdout
.print ready
.output stdout
