//! Resources of many small parts: what judging by R4's invariants costs most for.

/// A resource filled with parts up to a size.
fn filled(bytes: usize, (head, tail): (&str, &str), part: impl Fn(usize) -> String) -> String {
    let mut text = String::from(head);
    let mut count = 0;
    while text.len() + tail.len() + 300 < bytes {
        if count > 0 {
            text.push(',');
        }
        text.push_str(&part(count));
        count += 1;
    }
    text + tail
}

/// Resources of a size, each of as many parts as fit.
pub(crate) fn dense(bytes: usize) -> Vec<String> {
    let of_type = |rest: &str| format!(r#"{{"resourceType":{rest}"#);
    let fill = |head: &str, tail: &str, part: &dyn Fn(usize) -> String| {
        filled(bytes, (&of_type(head), tail), part)
    };
    vec![
        fill(r#""Questionnaire","status":"draft","item":["#, "]}", &|n| {
            format!(r#"{{"linkId":"{n}","type":"string"}}"#)
        }),
        fill(r#""Questionnaire","status":"draft","item":["#, "]}", &|n| {
            format!(
                r#"{{"linkId":"{n}","type":"group","item":[{{"linkId":"a{n}","type":"choice","answerOption":[{{"valueInteger":1}}]}}]}}"#
            )
        }),
        fill(
            r#""QuestionnaireResponse","status":"completed","item":["#,
            "]}",
            &|n| format!(r#"{{"linkId":"{n}","answer":[{{"valueInteger":1}}]}}"#),
        ),
        fill(r#""Bundle","type":"collection","entry":["#, "]}", &|n| {
            format!(
                r#"{{"fullUrl":"urn:x:{n}","resource":{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"urn:c","code":"8480-6"}}]}},"subject":{{"reference":"Patient/1"}},"valueQuantity":{{"value":1.5,"system":"http://unitsofmeasure.org","code":"mm"}}}}}}"#
            )
        }),
        fill(r#""Bundle","type":"collection","entry":["#, "]}", &|n| {
            format!(
                r#"{{"fullUrl":"urn:x:{n}","resource":{{"resourceType":"Patient","active":true}}}}"#
            )
        }),
        fill(
            r#""Observation","status":"final","code":{"text":"x"},"component":["#,
            "]}",
            &|n| format!(r#"{{"code":{{"text":"c{n}"}},"valueInteger":1}}"#),
        ),
        fill(r#""Parameters","parameter":["#, "]}", &|n| {
            format!(r#"{{"name":"p{n}","part":[{{"name":"a","valueInteger":1}}]}}"#)
        }),
        fill(
            r#""Basic","code":{"text":"x"},"extension":["#,
            "]}",
            &|_| r#"{"url":"u","valueCode":"x"}"#.to_owned(),
        ),
        fill(
            r#""CodeSystem","status":"draft","content":"complete","concept":["#,
            "]}",
            &|n| format!(r#"{{"code":"{n}"}}"#),
        ),
        fill(r#""Patient","name":["#, "]}", &|_| {
            r#"{"text":"x"}"#.to_owned()
        }),
        fill(
            r#""List","status":"current","mode":"working","entry":["#,
            "]}",
            &|n| format!(r#"{{"item":{{"reference":"Patient/{n}"}}}}"#),
        ),
    ]
}
