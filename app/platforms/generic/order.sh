BODY='{"order_id": "1001", "codes": ["LEA10"], "click_id": "clk_…", "net_minor": 4500, "currency": "EUR"}'
SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
curl -sS -H 'Content-Type: application/json' -H "X-Ariane-Signature: sha256=$SIGNATURE" '{{url}}' -d "$BODY"
