B=http://127.0.0.1:18555/fhir
q() { m=$1; u=$2; shift 2; echo "=== $m $u $*" | cut -c1-200; curl -s -g -i -X "$m" "$B/$u" "$@" | tr -d '\r' | cut -c1-900; echo; }
j() { m=$1; u=$2; b=$3; shift 3; q $m "$u" -H 'Content-Type: application/fhir+json' -d "$b" "$@"; }
