#!/bin/sh
# Runs workerd so that it does not outlive the process that started it: `kill -9` of that process would otherwise leave
# an orphan that keeps the port and the data folder. Also allows as many open sockets as the system lets it.
parent=$PPID
ulimit -n "$(ulimit -Hn)" 2>/dev/null

# A process that was killed and not waited for still takes signals; whoever is its child is handed to another parent.
orphaned() {
  if [ -r /proc/$$/stat ]; then
    read -r _ _ _ ppid _ </proc/$$/stat && [ "$ppid" != "$parent" ]
  else
    ! kill -0 "$parent" 2>/dev/null
  fi
}
(
  while ! orphaned && kill -0 $$ 2>/dev/null; do sleep 0.5; done
  kill -9 $$ 2>/dev/null
) </dev/null >/dev/null 2>&1 3>&- &
exec "$CHITTYCONNECT_WORKERD" "$@"
